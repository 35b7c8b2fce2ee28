// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! apt with a state of its own: it reads newer suites than the machine's and installs nothing.
//!
//! Of the machine's own apt settings only those hold that are about the network, such as a proxy,
//! and about mirrors that are frozen in time. What they say of signatures does not: nothing is
//! taken that Debian did not sign.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::progress::Progress;

/// What Debian signs its suites with.
/// Debian's keys, where the machine has them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The key that signs the suites below, of Debian's package debian-archive-keyring: for machines that have
/// apt, but are no Debian. Its fingerprint is 04B54C3CDCA79751B16BC6B5225629DF75B188BD.
const OWN_KEYRING: &[u8] = include_bytes!("debian-archive-trixie-automatic.gpg");
pub(super) const STABLE: &str = "trixie";
/// Newer QEMU and kernel packages for the stable release.
pub(super) const BACKPORTS: &str = "trixie-backports";

/// A package of one version, as apt chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
}

/// An apt whose lists and caches lie in a folder.
#[derive(Debug)]
pub(super) struct Apt {
    settings: PathBuf,
}

impl Apt {
    /// Prepares `folder`, which must be empty.
    pub(super) fn new(folder: &Path, mirror: &str) -> Result<Self> {
        let machine = machine_settings();
        let prepare = || -> io::Result<PathBuf> {
            fs::create_dir_all(folder.join("lists/partial"))?;
            fs::create_dir_all(folder.join("cache/archives/partial"))?;
            fs::write(folder.join("status"), "")?;
            let keyring = keyring(Path::new(KEYRING), folder)?;
            fs::write(folder.join("suites.sources"), sources(mirror, &keyring))?;
            let settings = folder.join("apt.conf");
            fs::write(&settings, apt_settings(folder) + &machine)?;
            Ok(settings)
        };
        Ok(Self {
            settings: prepare().context("Cannot prepare apt's folder")?,
        })
    }

    /// Reads the suites' package lists and checks their signatures.
    pub(super) fn update(&self, progress: &Progress) -> Result<()> {
        let output = self.run(&["update".into()], None, progress)?;
        let failed = |line: &&str| line.starts_with("W: ") && line.contains("Failed to fetch");
        match output.lines().find(failed) {
            Some(line) => bail!("apt-get update: {line}"),
            None => Ok(()),
        }
    }

    /// The packages and all that they depend on, in the versions that `suite` offers.
    pub(super) fn closure(&self, suite: &str, packages: &[&str]) -> Result<Vec<Package>> {
        let mut arguments = vec!["install".to_owned(), "--simulate".to_owned()];
        arguments.extend(["-t".to_owned(), suite.to_owned()]);
        arguments.extend(packages.iter().map(|name| format!("{name}/{suite}")));
        let output = self.run(&arguments, None, &Progress::hidden())?;
        Ok(output.lines().filter_map(simulated).collect())
    }

    /// Downloads `packages` into `folder` and checks them against the signed lists.
    pub(super) fn download(
        &self,
        packages: &[Package],
        folder: &Path,
        progress: &Progress,
    ) -> Result<()> {
        let mut arguments = vec!["download".to_owned()];
        let chosen = packages.iter();
        arguments.extend(chosen.map(|package| format!("{}={}", package.name, package.version)));
        self.run(&arguments, Some(folder), progress).map(|_| ())
    }

    fn run(
        &self,
        arguments: &[String],
        folder: Option<&Path>,
        progress: &Progress,
    ) -> Result<String> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new("apt-get");
        command
            // In place of the machine's settings, which this file turns off.
            .env("APT_CONFIG", &self.settings)
            .args(["-q", "-y"])
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stderr(writer.try_clone()?)
            .stdout(writer);
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        let mut child = command.spawn().context("Cannot run apt-get")?;
        // The command holds the pipe's other end, which must close for the reading to end.
        drop(command);
        let mut output = String::new();
        for line in BufReader::new(reader).lines() {
            let line = line.context("Cannot read what apt-get says")?;
            match downloaded_percent(&line) {
                Some(percent) => progress.percent(percent),
                None => output.extend([line.as_str(), "\n"]),
            }
        }
        let status = child.wait().context("Cannot wait for apt-get")?;
        log::debug!("apt-get {}:\n{output}", arguments.join(" "));
        let verb = arguments.first().map_or("", String::as_str);
        ensure!(status.success(), "apt-get {verb}: {}", complaints(&output));
        Ok(output)
    }
}

/// The machine's own keys, else the lab's, in a file in the folder. Nothing unsigned is used.
fn keyring(machine: &Path, folder: &Path) -> io::Result<PathBuf> {
    if machine.exists() {
        return Ok(machine.to_owned());
    }
    let own = folder.join("keyring.gpg");
    fs::write(&own, OWN_KEYRING)?;
    Ok(own)
}

fn sources(mirror: &str, keyring: &Path) -> String {
    let keyring = keyring.display();
    format!(
        "Types: deb\nURIs: {mirror}\nSuites: {STABLE} {BACKPORTS}\nComponents: main\n\
         Architectures: amd64\nTargets: Packages\nSigned-By: {keyring}\n"
    )
}

fn apt_settings(folder: &Path) -> String {
    let folder = folder.display();
    let mut settings = format!(
        "Dir::Etc::main \"/dev/null\";\n\
         Dir::Etc::parts \"/dev/null\";\n\
         Acquire::AllowInsecureRepositories \"false\";\n\
         Acquire::AllowWeakRepositories \"false\";\n\
         Acquire::AllowDowngradeToInsecureRepositories \"false\";\n\
         APT::Get::AllowUnauthenticated \"false\";\n\
         APT::Architecture \"amd64\";\n\
         APT::Architectures {{ \"amd64\"; }};\n\
         APT::Install-Recommends \"false\";\n\
         APT::Install-Suggests \"false\";\n\
         APT::Status-Fd \"1\";\n\
         APT::Update::Error-Mode \"any\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"2\";\n\
         Acquire::http::Timeout \"30\";\n\
         Acquire::https::Timeout \"30\";\n\
         Debug::NoLocking \"true\";\n\
         Dir::Cache \"{folder}/cache\";\n\
         Dir::Cache::pkgcache \"pkgcache.bin\";\n\
         Dir::Cache::srcpkgcache \"srcpkgcache.bin\";\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\n\
         Dir::Etc::sourcelist \"{folder}/suites.sources\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::State \"{folder}\";\n\
         Dir::State::lists \"{folder}/lists\";\n\
         Dir::State::status \"{folder}/status\";\n"
    );
    if rustix::process::geteuid().is_root() {
        // apt's own download user may not enter the cache folder.
        settings.push_str("APT::Sandbox::User \"root\";\n");
    }
    settings
}

/// The machine's settings that the lab's apt shares.
fn machine_settings() -> String {
    let dump = Command::new("apt-config").arg("dump").output();
    let dump = dump.map(|output| output.stdout).unwrap_or_default();
    shared_settings(&String::from_utf8_lossy(&dump))
}

/// How the names of shared settings begin: how to reach mirrors, and whether theirs may be old.
const SHARED_SETTINGS: [&str; 7] = [
    "acquire::http::",
    "acquire::https::",
    "acquire::socks::",
    "acquire::forceipv4",
    "acquire::forceipv6",
    "acquire::check-valid-until",
    "acquire::check-date",
];

/// Of lines such as `Acquire::http::Proxy "http://proxy.example:3128";` those that are shared.
fn shared_settings(dump: &str) -> String {
    let is_shared = |line: &&str| {
        let parts = line
            .strip_suffix("\";")
            .and_then(|line| line.split_once(" \""));
        parts.is_some_and(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let is_value = !value.contains(['"', '\\']) && !name.contains([' ', ';', '"']);
            is_value
                && SHARED_SETTINGS
                    .iter()
                    .any(|shared| name.starts_with(shared))
        })
    };
    let lines = dump.lines().filter(is_shared);
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Reads a line such as `Inst seabios (1.17.0-1 Debian Backports:stable-backports [all])`.
fn simulated(line: &str) -> Option<Package> {
    let rest = line.strip_prefix("Inst ")?;
    let (name, rest) = rest.split_once(' ')?;
    let (_, version) = rest.split_once('(')?;
    Some(Package {
        name: name.to_owned(),
        version: version.split_whitespace().next()?.to_owned(),
    })
}

/// Reads a line such as `dlstatus:3:45.678:Retrieving file 3 of 7`.
fn downloaded_percent(line: &str) -> Option<u64> {
    let mut fields = line.strip_prefix("dlstatus:")?.split(':');
    let percent = fields.nth(1)?.split('.').next()?;
    percent.parse().ok()
}

/// The lines that say what went wrong.
pub(super) fn complaints(output: &str) -> String {
    let lines = output.lines();
    let errors: Vec<&str> = lines.filter_map(|line| line.strip_prefix("E: ")).collect();
    match errors.is_empty() {
        true => output.trim().to_owned(),
        false => errors.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_versions_are_read_from_a_simulation() {
        let package = |name: &str, version: &str| {
            Some(Package {
                name: name.into(),
                version: version.into(),
            })
        };
        assert_eq!(
            simulated("Inst libc6 (2.41-12+deb13u5 Debian:13.8/stable [amd64]) []"),
            package("libc6", "2.41-12+deb13u5")
        );
        assert_eq!(
            simulated("Inst libssl3t64 [3.5.8-1] (3.5.9-1~deb13u1 Debian:13.8/stable [amd64])"),
            package("libssl3t64", "3.5.9-1~deb13u1")
        );
        assert_eq!(simulated("Conf libc6 (2.41-12 Debian [amd64])"), None);
        assert_eq!(simulated("Inst libc6"), None);
    }

    #[test]
    fn of_the_machines_settings_those_of_the_network_are_shared() {
        let dump = "APT::Get::AllowUnauthenticated \"true\";\n\
                    Acquire::AllowInsecureRepositories \"true\";\n\
                    Acquire::http::Proxy \"http://proxy.example:3128\";\n\
                    Acquire::http::Proxy \"x\"; APT::Get::AllowUnauthenticated \"true\";\n\
                    acquire::Check-Valid-Until \"false\";\n\
                    Dir::Bin::methods \"/tmp\";\n";
        assert_eq!(
            shared_settings(dump),
            "Acquire::http::Proxy \"http://proxy.example:3128\";\n\
             acquire::Check-Valid-Until \"false\";\n"
        );
    }

    #[test]
    fn a_machine_without_debians_keys_gets_the_labs() {
        let folder = tempfile::tempdir().unwrap();
        let machine = folder.path().join("machine.gpg");
        let chosen = keyring(&machine, folder.path()).unwrap();
        assert_eq!(fs::read(chosen).unwrap(), OWN_KEYRING);
        fs::write(&machine, "").unwrap();
        assert_eq!(keyring(&machine, folder.path()).unwrap(), machine);
    }

    #[test]
    fn progress_is_read_from_status_lines() {
        let line = "dlstatus:3:45.678:Retrieving file 3 of 7 (12s remaining)";
        assert_eq!(downloaded_percent(line), Some(45));
        assert_eq!(downloaded_percent("dlstatus:"), None);
        assert_eq!(downloaded_percent("Get:1 http://mirror.example"), None);
    }

    #[test]
    fn complaints_are_the_error_lines() {
        let output = "Err:1 x\nE: Unable to locate package a\nE: b\n";
        assert_eq!(complaints(output), "Unable to locate package a; b");
        assert_eq!(complaints("killed\n"), "killed");
    }
}
