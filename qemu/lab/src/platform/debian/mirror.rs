// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which Debian mirror to ask: the one this machine's apt already uses.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::apt::{STABLE, complaints};

/// Names another mirror.
const VARIABLE: &str = "CHMU_DEBIAN_MIRROR";
/// Downloads single files with apt's settings.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// The mirror's base URL.
///
/// # Errors
/// When apt knows no Debian mirror and the environment names none.
pub fn mirror() -> Result<String> {
    if let Some(mirror) = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty()) {
        return Ok(mirror);
    }
    let loaded = index_targets(&["--format", "$(ORIGIN)|$(SUITE)|$(SITE)"]);
    let configured = index_targets(&["--no-release-info", "--format", "$(SITE)"]);
    from_loaded(&loaded)
        .or_else(|| from_configured(&configured))
        .map(str::to_owned)
        .with_context(|| {
            format!("This machine's apt uses no Debian mirror; name one in {VARIABLE}")
        })
}

/// Asks the mirror for the release file, through apt and so through its proxy.
///
/// # Errors
/// When the mirror does not answer within seconds or has no such release.
pub fn reach(mirror: &str) -> Result<()> {
    let folder = tempfile::tempdir().context("Cannot make a temporary folder")?;
    let output = Command::new(APT_HELPER)
        .args([
            "-o",
            "Acquire::http::Timeout=5",
            "-o",
            "Acquire::https::Timeout=5",
        ])
        .args(["-o", "Acquire::Retries=0", "-o", "APT::Sandbox::User="])
        .arg("download-file")
        .arg(format!(
            "{}/dists/{STABLE}/InRelease",
            mirror.trim_end_matches('/')
        ))
        .arg(folder.path().join("InRelease"))
        .env("LC_ALL", "C")
        .output()
        .with_context(|| format!("Cannot run {APT_HELPER}"))?;
    let errors = complaints(&String::from_utf8_lossy(&output.stderr));
    ensure!(
        output.status.success(),
        "{mirror} does not answer: {errors}"
    );
    Ok(())
}

fn index_targets(options: &[&str]) -> String {
    let output = Command::new("apt-get")
        .arg("indextargets")
        .args(options)
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

/// The first site whose release says that it is Debian's main archive.
fn from_loaded(targets: &str) -> Option<&str> {
    targets.lines().find_map(|line| {
        let mut fields = line.splitn(3, '|');
        let (origin, suite) = (fields.next()?, fields.next()?);
        let is_main = origin == "Debian" && !suite.contains("security");
        fields.next().filter(|site| is_main && !site.is_empty())
    })
}

/// Before the first `apt-get update` nothing is known of a site but its URL.
fn from_configured(targets: &str) -> Option<&str> {
    let mut sites = targets.lines();
    sites.find(|site| site.trim_end_matches('/').ends_with("/debian"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_archive_is_found_among_others() {
        let targets = "Node Source|nodistro|https://node.example/node_20.x\n\
                       Debian|oldstable-security|http://mirror.example/debian-security\n\
                       Debian|oldstable|http://mirror.example/debian\n\
                       Debian|oldstable-updates|http://other.example/debian\n";
        assert_eq!(from_loaded(targets), Some("http://mirror.example/debian"));
        assert_eq!(
            from_loaded("Ubuntu|noble|http://mirror.example/ubuntu\n"),
            None
        );
        assert_eq!(from_loaded(""), None);
        assert_eq!(from_loaded("Debian\n||\n"), None);
    }

    #[test]
    fn a_machine_that_never_updated_has_a_mirror() {
        let targets = "http://mirror.example/debian-security\nhttp://mirror.example/debian/\n";
        assert_eq!(
            from_configured(targets),
            Some("http://mirror.example/debian/")
        );
        assert_eq!(from_configured("http://mirror.example/ubuntu\n"), None);
    }
}
