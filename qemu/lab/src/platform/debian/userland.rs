// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The package files that a guest's userland is made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::apt::{self, Apt, Package};
use super::fetching::prepare_apt;
use crate::cache::{Cache, FetchLock};
use crate::progress::Progress;

/// Debian's essential packages, which all others count on without saying so (Debian Policy 3.8).
const ESSENTIAL: [&str; 23] = [
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "libc-bin",
    "login",
    "ncurses-base",
    "ncurses-bin",
    "perl-base",
    "sed",
    "sysvinit-utils",
    "tar",
    "util-linux",
];
/// What the lab itself uses in a userland, and what a user of memory tiers looks for first.
const FURTHER: [&str; 6] = [
    "e2fsprogs",
    "iproute2",
    "kmod",
    "mount",
    "numactl",
    "procps",
];
const MEMBER_NAME_BYTES: usize = 16;

/// Which packages of a userland.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layer<'a> {
    /// Those that every userland has.
    Base,
    /// What these need beside those.
    Over(&'a BTreeSet<String>),
}

/// Package files in a folder.
#[derive(Debug)]
pub(crate) struct Download {
    /// As `name version`; none where the layer below has all.
    pub(crate) packages: Vec<String>,
    /// Where the files are, ready to be installed by a guest's `dpkg`.
    pub(crate) folder: PathBuf,
    /// What they say they take on a disk.
    pub(crate) installed_bytes: u64,
}

impl Download {
    /// Chooses the packages of a layer and fetches them. They are in the lab's working folder, which
    /// the caller abandons.
    pub(crate) fn fetch(
        layer: Layer<'_>,
        cache: &Cache,
        lock: &FetchLock,
        progress: &Progress,
    ) -> Result<Self> {
        let (work, apt) = prepare_apt(cache, lock, progress)?;
        let packages = choose(layer, &apt)?;
        let folder = work.join("userland.packages");
        if packages.is_empty() {
            return Ok(Self {
                packages: Vec::new(),
                folder,
                installed_bytes: 0,
            });
        }
        let downloads = work.join("userland.downloads");
        fs::create_dir_all(&downloads).context("Cannot make the download folder")?;
        progress.step(format!("Downloading {} packages", packages.len()));
        apt.download(&packages, &downloads, progress)?;
        progress.step(format!("Unpacking {} packages", packages.len()));
        let installed_bytes = expand_all(&downloads, &folder)?;
        let shown = |package: &Package| format!("{} {}", package.name, package.version);
        Ok(Self {
            packages: packages.iter().map(shown).collect(),
            folder,
            installed_bytes,
        })
    }
}

fn choose(layer: Layer<'_>, apt: &Apt) -> Result<Vec<Package>> {
    let base: Vec<_> = ESSENTIAL.into_iter().chain(FURTHER).collect();
    let packages = apt.closure(apt::STABLE, &base)?;
    let Layer::Over(names) = layer else {
        return Ok(packages);
    };
    let wanted: Vec<_> = base
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let mut all = apt.closure(apt::STABLE, &wanted)?;
    all.retain(|package| !packages.contains(package));
    Ok(all)
}

/// Writes each package file anew, without its compression: a guest's emulated processor takes ten times as
/// long to expand it. Returns what the packages say they take, in bytes.
fn expand_all(from: &Path, to: &Path) -> Result<u64> {
    fs::create_dir_all(to).context("Cannot make a folder for packages")?;
    let read = || fs::read_dir(from)?.collect::<std::io::Result<Vec<_>>>();
    let mut installed_kib = 0_u64;
    for file in read().context("Cannot read the download folder")? {
        let package = file.path();
        let size = dpkg_deb(&package, &["--field"], &["Installed-Size"])?;
        let size = String::from_utf8_lossy(&size);
        installed_kib = installed_kib.saturating_add(size.trim().parse().unwrap_or(0));
        let control = dpkg_deb(&package, &["--ctrl-tarfile"], &[])?;
        let data = dpkg_deb(&package, &["--fsys-tarfile"], &[])?;
        let expanded = package_file(&[("control.tar", &control), ("data.tar", &data)]);
        fs::write(to.join(file.file_name()), expanded).context("Cannot write a package")?;
        fs::remove_file(&package).context("Cannot remove a package")?;
    }
    Ok(installed_kib.saturating_mul(1024))
}

fn dpkg_deb(package: &Path, verb: &[&str], words: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("dpkg-deb")
        .args(verb)
        .arg(package)
        .args(words)
        .output()
        .context("Cannot run dpkg-deb")?;
    ensure!(
        output.status.success(),
        "Cannot read {}: {}",
        package.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

/// A package file of these members, as `deb`(5) and `ar`(5) describe it.
fn package_file(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = b"!<arch>\n".to_vec();
    let version: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    for (name, content) in [version].iter().chain(members) {
        let length = content.len();
        let name = format!("{name:<MEMBER_NAME_BYTES$}");
        file.extend(format!("{name}0           0     0     100644  {length:<10}`\n").bytes());
        file.extend(*content);
        if length % 2 == 1 {
            file.push(b'\n');
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_the_same_when_it_is_expanded() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("usr/share/one")).unwrap();
        fs::write(tree.join("usr/share/one/file"), "odd").unwrap();
        let control = "Package: one\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody\n\
                       Installed-Size: 12\nDescription: one\n";
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let downloads = folder.path().join("downloads");
        fs::create_dir(&downloads).unwrap();
        let built = Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .arg(&tree)
            .arg(downloads.join("one.deb"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        let before = dpkg_deb(&downloads.join("one.deb"), &["--contents"], &[]).unwrap();
        let expanded = folder.path().join("expanded");
        assert_eq!(expand_all(&downloads, &expanded).unwrap(), 12 << 10);
        let file = expanded.join("one.deb");
        assert_eq!(dpkg_deb(&file, &["--contents"], &[]).unwrap(), before);
        let field = dpkg_deb(&file, &["--field"], &["Version"]).unwrap();
        assert_eq!(field, b"1.0\n");
        assert!(!downloads.join("one.deb").exists());
    }
}
