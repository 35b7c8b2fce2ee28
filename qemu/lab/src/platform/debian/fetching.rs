// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From Debian's mirror into the cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::apt::Apt;
use super::entry::{Contents, Entry, LAYOUT};
use super::{mirror, unpack};
use crate::cache::{Cache, FetchLock};
use crate::progress::Progress;

/// Where apt works; no entry of its own.
pub(crate) const WORK: &str = "fetch";
/// Which entries a fetched one replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replace {
    /// Any: what is there is not used.
    Always,
    /// One that no running lab uses.
    Unused,
}

/// Fetches the packages of these entries, and makes the entries of them.
pub(super) fn fetch_entries(
    wanted: &[Entry],
    replace: Replace,
    cache: &Cache,
    lock: &FetchLock,
    progress: &Progress,
) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let fetched = fetch_all(wanted, replace, cache, lock, progress);
    // An error of the fetching says more than one of the cleaning up.
    let cleaned = cache.abandon(WORK, lock);
    fetched.and(cleaned)
}

/// An apt that has read the mirror's lists, and the folder that it works in, which the caller abandons.
pub(super) fn prepare_apt(
    cache: &Cache,
    lock: &FetchLock,
    progress: &Progress,
) -> Result<(PathBuf, Apt)> {
    check_tools()?;
    let mirror = mirror()?;
    let work = cache.begin(WORK, lock)?;
    let apt = Apt::new(&work, &mirror)?;
    progress.step(format!("Reading the package lists of {mirror}"));
    apt.update(progress)?;
    Ok((work, apt))
}

fn fetch_all(
    wanted: &[Entry],
    replace: Replace,
    cache: &Cache,
    lock: &FetchLock,
    progress: &Progress,
) -> Result<()> {
    let (work, apt) = prepare_apt(cache, lock, progress)?;
    for entry in wanted {
        fetch_entry(*entry, replace, &apt, &work, (cache, lock), progress)?;
    }
    Ok(())
}

fn fetch_entry(
    entry: Entry,
    replace: Replace,
    apt: &Apt,
    work: &Path,
    (cache, lock): (&Cache, &FetchLock),
    progress: &Progress,
) -> Result<()> {
    let label = entry.label();
    progress.step(format!("Choosing the packages of {label}"));
    let mut packages = apt.closure(entry.suite(), entry.packages())?;
    packages.retain(|package| entry.uses(&package.name));
    let downloads = work.join(format!("{}.downloads", entry.name()));
    let root = work.join(format!("{}.root", entry.name()));
    std::fs::create_dir_all(&downloads).context("Cannot make the download folder")?;
    progress.step(format!("Downloading {label}, {} packages", packages.len()));
    apt.download(&packages, &downloads, progress)?;
    progress.step(format!("Unpacking {label}"));
    unpack::packages(&downloads, &root)?;
    let folder = cache.begin(entry.name(), lock)?;
    let version = match entry {
        Entry::Qemu => unpack::qemu(&root, &folder)?,
        Entry::Kernel(_) => unpack::kernel(&root, &folder)?,
        Entry::Busybox => {
            unpack::busybox(&root, &folder)?;
            packages
                .first()
                .map_or_else(String::new, |first| first.version.clone())
        }
    };
    let contents = Contents {
        layout: LAYOUT,
        version,
        packages: packages
            .iter()
            .map(|package| format!("{} {}", package.name, package.version))
            .collect(),
    };
    progress.step(format!("Writing {label} to the cache"));
    let _claim = match replace {
        Replace::Always => None,
        Replace::Unused => match cache.claim(entry.name())? {
            Some(claim) => Some(claim),
            None => {
                progress.say(&in_use(entry));
                return cache.abandon(entry.name(), lock);
            }
        },
    };
    cache.complete(entry.name(), &contents, lock)
}

/// Said of an entry that is not replaced.
pub(super) fn in_use(entry: Entry) -> String {
    let label = entry.label();
    format!("A running lab uses {label}, which stays as it is")
}

/// Whether this machine can read Debian's packages at all.
pub(crate) fn check_tools() -> Result<()> {
    for tool in ["apt-get", "dpkg-deb"] {
        let mut command = Command::new(tool);
        command.arg("--version").stdin(Stdio::null());
        ensure!(
            command.output().is_ok(),
            "This machine has no {tool}, which reads Debian's packages"
        );
    }
    Ok(())
}
