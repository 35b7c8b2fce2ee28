// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! QEMU, Linux and busybox out of Debian's packages, unpacked into the cache without installing
//! them and without being root.

mod apt;
mod mirror;
mod packages;
mod unpack;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::KernelChoice;
use super::kernel::Kernel;
use super::qemu::QemuProgram;
use super::version::QemuVersion;
use crate::cache::{Cache, FetchLock};
use crate::progress::Progress;
use apt::Apt;

pub use mirror::{mirror, reach};
pub use packages::{PackageSet, TOOLS};

/// Counts up when an entry's layout changes; entries of another layout are fetched anew.
const LAYOUT: u32 = 1;
const QEMU_ENTRY: &str = "qemu";
const BUSYBOX_ENTRY: &str = "busybox";
/// Where apt works; no entry of its own.
const WORK: &str = "fetch";

/// What to have in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packages {
    /// QEMU with its libraries.
    pub qemu: bool,
    /// A kernel with the modules the guest needs.
    pub kernel: Option<KernelChoice>,
    /// A static busybox.
    pub busybox: bool,
}

/// What is said of a cache entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    layout: u32,
    /// QEMU's version, the kernel's release or busybox' package version.
    pub version: String,
    /// The packages it was made of, as `name version`.
    pub packages: Vec<String>,
}

/// One cache entry and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Qemu,
    Kernel(KernelChoice),
    Busybox,
}

impl Entry {
    fn name(self) -> &'static str {
        match self {
            Self::Qemu => QEMU_ENTRY,
            Self::Kernel(KernelChoice::Backports) => "linux-backports",
            Self::Kernel(KernelChoice::Lts612) => "linux-lts-6.12",
            Self::Busybox => BUSYBOX_ENTRY,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU",
            Self::Kernel(_) => "the kernel",
            Self::Busybox => "busybox",
        }
    }

    /// What the user can name on the command line in its place.
    fn options(self) -> &'static str {
        match self {
            Self::Qemu => "--qemu",
            Self::Kernel(_) => "--kernel and --modules",
            Self::Busybox => "--busybox",
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::Qemu | Self::Kernel(KernelChoice::Backports) => apt::BACKPORTS,
            Self::Kernel(KernelChoice::Lts612) | Self::Busybox => apt::STABLE,
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Qemu => &["qemu-system-x86", "seabios"],
            Self::Kernel(_) => &["linux-image-amd64"],
            Self::Busybox => &["busybox-static"],
        }
    }

    /// Of the packages' dependencies, whether this one is used: a kernel needs no tools that
    /// install it.
    fn uses(self, package: &str) -> bool {
        match self {
            Self::Qemu => true,
            Self::Kernel(_) => package.starts_with("linux-"),
            Self::Busybox => package == "busybox-static",
        }
    }
}

impl Packages {
    /// Fetches what the cache lacks, or everything when `refresh` is set.
    ///
    /// # Errors
    /// When this machine has no apt, no mirror answers or the disk is full.
    pub fn fetch(&self, cache: &Cache, refresh: bool, progress: &Progress) -> Result<()> {
        if !refresh && self.missing(cache)?.is_empty() {
            return Ok(());
        }
        let lock = cache.lock(|| progress.step("Waiting for another lab that fetches"))?;
        let wanted = match refresh {
            true => self.entries(),
            false => self.missing(cache)?,
        };
        let made = fetch_entries(&wanted, cache, &lock, progress);
        // An error of the fetching says more than one of the cleaning up.
        let cleaned = cache.abandon(WORK, &lock);
        made.with_context(|| advice(&wanted))?;
        cleaned
    }

    fn entries(&self) -> Vec<Entry> {
        let qemu = self.qemu.then_some(Entry::Qemu);
        let busybox = self.busybox.then_some(Entry::Busybox);
        let kernel = self.kernel.map(Entry::Kernel);
        qemu.into_iter().chain(kernel).chain(busybox).collect()
    }

    fn missing(&self, cache: &Cache) -> Result<Vec<Entry>> {
        let mut missing = Vec::new();
        for entry in self.entries() {
            if contents(cache, entry)?.is_none() {
                missing.push(entry);
            }
        }
        Ok(missing)
    }

    /// What of it the cache has, one for each entry wanted, in the order QEMU, kernel, busybox.
    ///
    /// # Errors
    /// When the cache is damaged.
    pub fn contents(&self, cache: &Cache) -> Result<Vec<Option<Contents>>> {
        let entries = self.entries();
        entries
            .iter()
            .map(|entry| contents(cache, *entry))
            .collect()
    }
}

fn contents(cache: &Cache, entry: Entry) -> Result<Option<Contents>> {
    let contents: Option<Contents> = cache.marker(entry.name())?;
    Ok(contents.filter(|contents| contents.layout == LAYOUT))
}

fn advice(wanted: &[Entry]) -> String {
    let labels: Vec<&str> = wanted.iter().map(|entry| entry.label()).collect();
    let options: Vec<&str> = wanted.iter().map(|entry| entry.options()).collect();
    format!(
        "Cannot get {} from Debian's packages; pass {} instead",
        labels.join(", "),
        options.join(", ")
    )
}

fn fetch_entries(
    wanted: &[Entry],
    cache: &Cache,
    lock: &FetchLock,
    progress: &Progress,
) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    check_tools()?;
    let mirror = mirror()?;
    let work = cache.begin(WORK, lock)?;
    let apt = Apt::new(&work, &mirror)?;
    progress.step(format!("Reading the package lists of {mirror}"));
    apt.update(progress)?;
    for entry in wanted {
        fetch_entry(*entry, &apt, &work, (cache, lock), progress)?;
    }
    Ok(())
}

fn fetch_entry(
    entry: Entry,
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
    cache.complete(entry.name(), &contents, lock)
}

/// Whether this machine can read Debian's packages at all.
pub(crate) fn check_tools() -> Result<()> {
    for tool in ["apt-get", "dpkg-deb"] {
        let mut command = Command::new(tool);
        command.arg("--version").stdin(Stdio::null());
        ensure!(command.output().is_ok(), "This machine has no {tool}");
    }
    apt::check_keyring()
}

/// The cached QEMU.
pub(super) fn qemu(cache: &Cache) -> Result<QemuProgram> {
    let contents = contents(cache, Entry::Qemu)?.context("QEMU is not in the cache")?;
    let number = format!("QEMU emulator version {}", contents.version);
    let version = QemuVersion::parse(&number).context("The cached QEMU has no version")?;
    Ok(unpack::qemu_program(&cache.entry(QEMU_ENTRY), version))
}

/// A cached kernel.
pub(super) fn kernel(cache: &Cache, choice: KernelChoice) -> Result<Kernel> {
    let folder = cache.entry(Entry::Kernel(choice).name());
    Kernel::load(
        &folder.join(unpack::KERNEL),
        Some(&folder.join(unpack::MODULES)),
    )
}

/// The cached busybox.
pub(super) fn busybox(cache: &Cache) -> PathBuf {
    cache.entry(BUSYBOX_ENTRY).join(unpack::BUSYBOX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Packages = Packages {
        qemu: true,
        kernel: Some(KernelChoice::Lts612),
        busybox: true,
    };

    fn fill(cache: &Cache, entry: Entry, layout: u32) {
        let lock = cache.lock(|| ()).unwrap();
        cache.begin(entry.name(), &lock).unwrap();
        let contents = Contents {
            layout,
            version: "1.2.3".into(),
            packages: Vec::new(),
        };
        cache.complete(entry.name(), &contents, &lock).unwrap();
    }

    #[test]
    fn what_the_cache_has_is_not_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        for entry in ALL.entries() {
            fill(&cache, entry, LAYOUT);
        }
        ALL.fetch(&cache, false, &Progress::hidden()).unwrap();
        let other = Packages {
            kernel: Some(KernelChoice::Backports),
            ..ALL
        };
        let missing = other.missing(&cache).unwrap();
        assert_eq!(missing, [Entry::Kernel(KernelChoice::Backports)]);
    }

    #[test]
    fn entries_of_another_layout_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        fill(&cache, Entry::Qemu, LAYOUT + 1);
        assert!(ALL.missing(&cache).unwrap().contains(&Entry::Qemu));
    }

    #[test]
    fn the_advice_names_what_is_missing_only() {
        assert_eq!(
            advice(&[Entry::Kernel(KernelChoice::Backports), Entry::Busybox]),
            "Cannot get the kernel, busybox from Debian's packages; \
             pass --kernel and --modules, --busybox instead"
        );
    }
}
