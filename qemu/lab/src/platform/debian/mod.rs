// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! QEMU, Linux and busybox out of Debian's packages, unpacked into the cache without installing
//! them and without being root.

mod apt;
mod mirror;
mod packages;
mod unpack;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::KernelChoice;
use super::kernel::Kernel;
use super::modules::ModuleRequest;
use super::qemu::QemuProgram;
use super::version::QemuVersion;
use crate::cache::{Cache, Damage, EntryState, FetchLock};
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
/// The step before fetching, if another lab fetches.
const WAITING: &str = "Waiting for another lab that fetches";

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

/// An entry that is to be fetched, and what is wrong with the one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lack {
    entry: Entry,
    damage: Option<Damage>,
}

/// Which entries a fetched one replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replace {
    /// Any: what is there is not used.
    Always,
    /// One that no running lab uses.
    Unused,
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
            Self::Kernel(KernelChoice::Backports) => "debian-linux-backports",
            Self::Kernel(KernelChoice::Lts612) => "debian-linux-lts-6.12",
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
    /// Fetches what the cache lacks or has damaged.
    ///
    /// # Errors
    /// When this machine has no apt, no mirror answers or the disk is full.
    pub fn fetch(&self, cache: &Cache, progress: &Progress) -> Result<()> {
        if self.lacking(cache)?.is_empty() {
            return Ok(());
        }
        let lock = cache.lock(|| progress.step(WAITING))?;
        let wanted = self.lacking(cache)?;
        for damage in wanted.iter().filter_map(|lack| lack.damage.as_ref()) {
            progress.say(&fetched_anew(damage));
        }
        let entries: Vec<_> = wanted.iter().map(|lack| lack.entry).collect();
        fetch_entries(&entries, Replace::Always, cache, &lock, progress)
            .with_context(|| advice(&wanted))
    }

    /// Fetches everything anew but what a running lab uses.
    ///
    /// # Errors
    /// As for [`Packages::fetch`].
    pub fn refresh(&self, cache: &Cache, progress: &Progress) -> Result<()> {
        let lock = cache.lock(|| progress.step(WAITING))?;
        let mut wanted = Vec::new();
        for entry in self.entries() {
            match cache.claim(entry.name())? {
                Some(_) => wanted.push(Lack {
                    entry,
                    damage: None,
                }),
                None => progress.say(&in_use(entry)),
            }
        }
        let entries: Vec<_> = wanted.iter().map(|lack| lack.entry).collect();
        fetch_entries(&entries, Replace::Unused, cache, &lock, progress)
            .with_context(|| advice(&wanted))
    }

    /// Keeps what the cache has of it as it is until this process ends.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub(super) fn hold(&self, cache: &Cache) -> Result<()> {
        let entries = self.entries();
        entries
            .iter()
            .try_for_each(|entry| cache.hold(entry.name()))
    }

    fn entries(&self) -> Vec<Entry> {
        let qemu = self.qemu.then_some(Entry::Qemu);
        let busybox = self.busybox.then_some(Entry::Busybox);
        let kernel = self.kernel.map(Entry::Kernel);
        qemu.into_iter().chain(kernel).chain(busybox).collect()
    }

    fn lacking(&self, cache: &Cache) -> Result<Vec<Lack>> {
        let mut lacking = Vec::new();
        for (entry, state) in self.entries().into_iter().zip(self.states(cache)?) {
            let damage = match state {
                EntryState::Whole(_) => continue,
                EntryState::Damaged(damage) => Some(damage),
                EntryState::Absent => None,
            };
            lacking.push(Lack { entry, damage });
        }
        Ok(lacking)
    }

    /// How it stands with each entry wanted, in the order QEMU, kernel, busybox.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn states(&self, cache: &Cache) -> Result<Vec<EntryState<Contents>>> {
        let entries = self.entries();
        let states = entries.iter().map(|entry| state(cache, entry.name()));
        states.collect()
    }
}

fn state(cache: &Cache, name: &str) -> Result<EntryState<Contents>> {
    Ok(match cache.check::<Contents>(name)? {
        EntryState::Whole(contents) if contents.layout != LAYOUT => EntryState::Absent,
        state => state,
    })
}

fn fetched_anew(damage: &Damage) -> String {
    format!("The cache is damaged, and fetched anew: {damage}")
}

fn in_use(entry: Entry) -> String {
    let label = entry.label();
    format!("A running lab uses {label}, which stays as it is")
}

/// What to do when fetching failed: give it, or mend what is there.
fn advice(wanted: &[Lack]) -> String {
    let labels: Vec<&str> = wanted.iter().map(|lack| lack.entry.label()).collect();
    let options: Vec<&str> = wanted.iter().map(|lack| lack.entry.options()).collect();
    let (labels, options) = (labels.join(", "), options.join(", "));
    let mut advice = format!("Cannot get {labels} from Debian's packages; pass {options} instead");
    for damage in wanted.iter().filter_map(|lack| lack.damage.as_ref()) {
        advice.push_str(&format!("; {damage}"));
    }
    advice
}

fn fetch_entries(
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

fn fetch_all(
    wanted: &[Entry],
    replace: Replace,
    cache: &Cache,
    lock: &FetchLock,
    progress: &Progress,
) -> Result<()> {
    check_tools()?;
    let mirror = mirror()?;
    let work = cache.begin(WORK, lock)?;
    let apt = Apt::new(&work, &mirror)?;
    progress.step(format!("Reading the package lists of {mirror}"));
    apt.update(progress)?;
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
    apt::check_keyring()
}

/// The cached QEMU.
pub(super) fn qemu(cache: &Cache) -> Result<QemuProgram> {
    let EntryState::Whole(contents) = state(cache, QEMU_ENTRY)? else {
        bail!("QEMU is not in the cache");
    };
    let number = format!("QEMU emulator version {}", contents.version);
    let version = QemuVersion::parse(&number).context("The cached QEMU has no version")?;
    Ok(unpack::qemu_program(&cache.entry(QEMU_ENTRY), version))
}

/// A cached kernel.
pub(super) fn kernel(cache: &Cache, choice: KernelChoice, own: &[ModuleRequest]) -> Result<Kernel> {
    let folder = cache.entry(Entry::Kernel(choice).name());
    Kernel::load(
        &folder.join(unpack::KERNEL),
        Some(&folder.join(unpack::MODULES)),
        own,
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
        let folder = cache.begin(entry.name(), &lock).unwrap();
        std::fs::write(folder.join("vmlinuz"), "half of it").unwrap();
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
        ALL.fetch(&cache, &Progress::hidden()).unwrap();
        let other = Packages {
            kernel: Some(KernelChoice::Backports),
            ..ALL
        };
        let lacking = lacking(other, &cache);
        assert_eq!(lacking, [Entry::Kernel(KernelChoice::Backports)]);
    }

    #[test]
    fn entries_of_another_layout_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        fill(&cache, Entry::Qemu, LAYOUT + 1);
        assert!(lacking(ALL, &cache).contains(&Entry::Qemu));
    }

    fn lacking(packages: Packages, cache: &Cache) -> Vec<Entry> {
        let lacking = packages.lacking(cache).unwrap();
        lacking.into_iter().map(|lack| lack.entry).collect()
    }

    #[test]
    fn a_damaged_entry_is_fetched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        for entry in ALL.entries() {
            fill(&cache, entry, LAYOUT);
        }
        let image = cache
            .entry(Entry::Kernel(KernelChoice::Lts612).name())
            .join("vmlinuz");
        std::fs::write(&image, "half of i").unwrap();
        assert_eq!(lacking(ALL, &cache), [Entry::Kernel(KernelChoice::Lts612)]);
    }

    #[test]
    fn the_advice_names_what_is_missing_only() {
        assert_eq!(
            advice(&[
                Lack {
                    entry: Entry::Kernel(KernelChoice::Backports),
                    damage: None,
                },
                Lack {
                    entry: Entry::Busybox,
                    damage: Some(Damage {
                        folder: "/c/busybox".into(),
                        file: "busybox".into(),
                    }),
                }
            ]),
            "Cannot get the kernel, busybox from Debian's packages; \
             pass --kernel and --modules, --busybox instead; \
             busybox in /c/busybox is not as it was fetched"
        );
    }
}
