// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A Debian userland for guests: a disk with the file system of an installed system, without a kernel.
//!
//! Packages come from the machine's mirror and are installed by Debian's own `dpkg`, which runs in a
//! guest: neither root nor anything on the host is needed. Each set of packages is kept in the cache,
//! over the one that all userlands have; a guest gets a copy and may do with it what it likes.

mod build;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::{Cache, EntryState, FetchLock};
use crate::machine::{Disk, DiskFormat, Keeping};
use crate::platform::{Download, Layer, PackageSet, PlatformOptions, WAITING, WORK};
use crate::progress::Progress;
use build::Builder;

/// Counts up when a userland is made otherwise; those of another layout are made anew.
const LAYOUT: u32 = 1;
const IMAGE: &str = "root.ext4";
/// What a guest finds free on its disk, beside what its packages take.
const FREE_BYTES: u64 = 8 << 30;
/// Room for what packages make when they are installed.
const SPARE_BYTES: u64 = 256 << 20;

/// A userland with these packages, and those that all have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Userland {
    names: BTreeSet<String>,
}

/// What is said of a userland in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    layout: u32,
    /// As `name version`, without those of the userland below it.
    packages: Vec<String>,
}

/// A guest's own copy of a userland's disk; nothing of it is left when this is dropped.
#[derive(Debug)]
pub struct RootDisk {
    file: tempfile::NamedTempFile,
}

impl Userland {
    /// A userland with these packages of Debian's stable release, and what they depend on.
    ///
    /// # Errors
    /// When a name is none of a package.
    pub fn new(names: &[String]) -> Result<Self> {
        PackageSet::new(names)?;
        Ok(Self {
            names: names.iter().cloned().collect(),
        })
    }

    /// A guest's disk, made where it is not in the cache.
    ///
    /// # Errors
    /// When packages cannot be fetched or installed.
    pub fn obtain(&self, options: &PlatformOptions, progress: &Progress) -> Result<RootDisk> {
        let cache = Cache::open()?;
        let image = self.prepare(&cache, options, progress)?;
        RootDisk::copy(&image, cache.folder())
            .with_context(|| format!("Cannot copy {}", image.display()))
    }

    /// Makes it where it is not in the cache; returns the disk there, of which guests get copies.
    ///
    /// # Errors
    /// As for [`Userland::obtain`].
    pub fn prepare(
        &self,
        cache: &Cache,
        options: &PlatformOptions,
        progress: &Progress,
    ) -> Result<PathBuf> {
        let entry = self.entry();
        cache.hold(&entry)?;
        if !is_whole(cache, &entry)? {
            // What it needs it fetches itself, for which it takes the lock.
            let builder = Builder::new(options, progress)?;
            let lock = cache.lock(|| progress.step(WAITING))?;
            if !is_whole(cache, &entry)? {
                let made = self.make(&builder, cache, &lock, progress);
                let cleaned = cache.abandon(WORK, &lock);
                made.with_context(|| format!("Cannot make a userland{}", self.words()))?;
                cleaned?;
            }
        }
        Ok(cache.entry(&entry).join(IMAGE))
    }

    /// To be read after "a userland".
    fn words(&self) -> String {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!(" with {}", names.join(", ")),
        }
    }

    fn entry(&self) -> String {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        if names.is_empty() {
            return "userland".to_owned();
        }
        let digest = Sha256::digest(names.join("\n"));
        let digits: String = digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("userland-{digits}")
    }

    fn make(
        &self,
        builder: &Builder<'_>,
        cache: &Cache,
        lock: &FetchLock,
        progress: &Progress,
    ) -> Result<()> {
        let base = Self {
            names: BTreeSet::new(),
        };
        if !is_whole(cache, &base.entry())? {
            let download = Download::fetch(Layer::Base, cache, lock, progress)?;
            base.install(&download, None, builder, (cache, lock))?;
        }
        if self.names.is_empty() {
            return Ok(());
        }
        let download = Download::fetch(Layer::Over(&self.names), cache, lock, progress)?;
        let below = cache.entry(&base.entry()).join(IMAGE);
        self.install(&download, Some(&below), builder, (cache, lock))
    }

    /// Makes the entry: a disk with these packages over those of another one.
    fn install(
        &self,
        download: &Download,
        below: Option<&Path>,
        builder: &Builder<'_>,
        (cache, lock): (&Cache, &FetchLock),
    ) -> Result<()> {
        let entry = self.entry();
        let folder = cache.begin(&entry, lock)?;
        let image = folder.join(IMAGE);
        let room = download
            .installed_bytes
            .saturating_mul(2)
            .saturating_add(SPARE_BYTES);
        let file = match below {
            Some(below) => {
                fs::copy(below, &image).context("Cannot copy the userland below")?;
                File::options().write(true).open(&image)?
            }
            None => File::create(&image).context("Cannot make a disk")?,
        };
        if !download.packages.is_empty() {
            file.set_len(file.metadata()?.len().saturating_add(room))?;
            let bytes = builder.install(&image, &download.folder, below.is_none())?;
            file.set_len(bytes)?;
        }
        let contents = Contents {
            layout: LAYOUT,
            packages: download.packages.clone(),
        };
        cache.complete(&entry, &contents, lock)
    }
}

fn is_whole(cache: &Cache, entry: &str) -> Result<bool> {
    Ok(match cache.check::<Contents>(entry)? {
        EntryState::Whole(contents) => contents.layout == LAYOUT,
        EntryState::Absent | EntryState::Damaged(_) => false,
    })
}

impl RootDisk {
    fn copy(image: &Path, folder: &Path) -> io::Result<Self> {
        let mut file = tempfile::Builder::new()
            .prefix("root-disk-")
            .tempfile_in(folder)?;
        let bytes = io::copy(&mut File::open(image)?, file.as_file_mut())?;
        file.as_file().set_len(bytes.saturating_add(FREE_BYTES))?;
        Ok(Self { file })
    }

    /// For a guest, as the first of its disks.
    pub fn disk(&self) -> Disk {
        Disk {
            file: self.path(),
            format: DiskFormat::Raw,
            is_read_only: false,
            keeping: Keeping::UntilCrash,
        }
    }

    fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_entry_in_any_order() {
        let entry = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            Userland::new(&names).unwrap().entry()
        };
        assert_eq!(
            entry(&["fio", "redis-server"]),
            entry(&["redis-server", "fio", "fio"])
        );
        assert_ne!(entry(&["fio"]), entry(&[]));
        assert!(Userland::new(&["../x".to_owned()]).is_err());
    }

    #[test]
    fn a_guests_disk_is_a_copy_with_room() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join(IMAGE);
        fs::write(&image, "content").unwrap();
        let disk = RootDisk::copy(&image, folder.path()).unwrap();
        let path = disk.path();
        assert_eq!(fs::metadata(&path).unwrap().len(), 7 + FREE_BYTES);
        drop(disk);
        assert!(!path.exists());
        assert_eq!(fs::read(&image).unwrap(), b"content");
    }
}
