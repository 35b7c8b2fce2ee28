// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What Debian did not sign is not taken, whatever the machine's apt is told.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::lab;

/// Settings with which apt takes anything.
const WEAK: &str = r#"
Acquire::AllowInsecureRepositories "true";
Acquire::AllowWeakRepositories "true";
Acquire::AllowDowngradeToInsecureRepositories "true";
APT::Get::AllowUnauthenticated "true";
"#;

#[test]
fn the_machines_settings_cannot_have_unsigned_packages_taken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mirror = folder.path().join("mirror");
    for suite in ["trixie", "trixie-backports"] {
        unsigned_suite(&mirror, suite)?;
    }
    let weak = folder.path().join("weak.conf");
    fs::write(&weak, WEAK)?;
    let output = lab(&folder.path().join("cache"), &["fetch"])?
        .env("APT_CONFIG", weak)
        .env("CHMU_DEBIAN_MIRROR", format!("file://{}", mirror.display()))
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = match Command::new("apt-get").arg("--version").output() {
        Ok(_) => "not signed",
        Err(_) => "no apt-get",
    };
    assert!(said.contains(expected), "{said}");
    assert!(!said.contains("Choosing the packages"), "{said}");
    Ok(())
}

/// A suite with a list of packages and nothing that vouches for it.
fn unsigned_suite(mirror: &Path, suite: &str) -> Result<()> {
    let suite_folder = mirror.join("dists").join(suite);
    let list_folder = suite_folder.join("main/binary-amd64");
    fs::create_dir_all(&list_folder)?;
    let mut packages = String::new();
    for name in [
        "qemu-system-x86",
        "seabios",
        "linux-image-amd64",
        "busybox-static",
    ] {
        packages += &format!(
            "Package: {name}\nVersion: 1\nArchitecture: amd64\nFilename: pool/{name}.deb\n\
             Size: 1\nSHA256: {}\n\n",
            "0".repeat(64)
        );
    }
    fs::write(list_folder.join("Packages"), &packages)?;
    fs::write(
        suite_folder.join("Release"),
        format!(
            "Origin: Debian\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
        ),
    )?;
    Ok(())
}
