// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! QEMU, Linux and busybox out of Debian's packages, unpacked into the cache without installing
//! them and without being root.

mod apt;
mod entry;
mod fetching;
mod mirror;
mod packages;
mod unpack;
mod userland;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::KernelChoice;
use super::kernel::Kernel;
use super::modules::ModuleRequest;
use super::qemu::QemuProgram;
use super::version::QemuVersion;
use crate::cache::{Cache, Damage, EntryState};
use crate::progress::Progress;
use entry::{BUSYBOX_ENTRY, Entry, QEMU_ENTRY, state};
use fetching::{Replace, fetch_entries, in_use};

pub use entry::Contents;
pub(crate) use fetching::{WORK, check_tools};
pub use mirror::{mirror, reach};
pub use packages::{PackageSet, TOOLS};
pub(crate) use userland::{Download, Layer};

/// The step before fetching, if another lab fetches.
pub(crate) const WAITING: &str = "Waiting for another lab that fetches";

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

/// An entry that is to be fetched, and what is wrong with the one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lack {
    entry: Entry,
    damage: Option<Damage>,
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

fn fetched_anew(damage: &Damage) -> String {
    format!("The cache is damaged, and fetched anew: {damage}")
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
mod tests;
