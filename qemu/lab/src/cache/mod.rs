// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The folder that keeps what was fetched: entries that are there as a whole or not at all.
//!
//! An entry has the digests of its files, which are checked before it is used. Who uses an entry
//! holds it, so that nobody replaces it under a running guest.

mod digests;
mod locks;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{CWD, FlockOperation, RenameFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::digests::Damage;

/// What is said of an entry.
const MARKER: &str = "entry.json";

/// How it stands with an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryState<T> {
    /// There is none, or one without digests, as older labs made them.
    Absent,
    /// It was changed after it was made: by a full disk, a failing one, or by hand.
    Damaged(Damage),
    /// As it was made, with what was said of it.
    Whole(T),
}

/// Held while an entry is replaced that nobody uses.
#[derive(Debug)]
pub struct EntryClaim {
    _file: File,
}

/// The lab's cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// Held while entries are made, so that two labs do not fetch the same.
#[derive(Debug)]
pub struct FetchLock {
    _file: File,
}

impl Cache {
    /// `$CHMU_CACHE_DIR`, else `$XDG_CACHE_HOME/chmu-lab` unless that is relative, else
    /// `~/.cache/chmu-lab`.
    ///
    /// # Errors
    /// When none of the three variables names a folder, or the path is none that all programs take.
    pub fn open() -> Result<Self> {
        let folder = folder(|name| std::env::var_os(name).map(PathBuf::from))?;
        ensure!(
            folder
                .to_str()
                .is_some_and(|path| !path.contains(['"', '\n'])),
            "The cache folder {} is not UTF-8 or has a quotation mark, which apt's settings cannot \
             have; name another folder in CHMU_CACHE_DIR",
            folder.display()
        );
        let folder = std::path::absolute(&folder).context("The working folder is gone")?;
        Ok(Self { folder })
    }

    /// A cache in a folder of the caller's choice.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The folder; it need not exist.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the entry `name` lies when it is complete.
    pub fn entry(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads the whole entry and compares it with its digests.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn check<T: DeserializeOwned>(&self, name: &str) -> Result<EntryState<T>> {
        let entry = self.entry(name);
        match digests::check(&entry) {
            Ok(None) => {}
            Ok(Some(damage)) => return Ok(EntryState::Damaged(damage)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(EntryState::Absent);
            }
            Err(error) => return Err(error).context(format!("Cannot read {}", entry.display())),
        }
        let marker = fs::read(entry.join(MARKER)).unwrap_or_default();
        Ok(match serde_json::from_slice(&marker) {
            Ok(marker) => EntryState::Whole(marker),
            // Whole, but not what this lab writes.
            Err(_) => EntryState::Absent,
        })
    }

    /// Keeps the entry as it is until this process ends; waits while it is being replaced.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn hold(&self, name: &str) -> Result<()> {
        // Where that fails, nobody can replace an entry either.
        let _ = fs::create_dir_all(&self.folder);
        locks::hold(&self.lock_file(name)).context("Cannot lock the cache entry")
    }

    /// The right to replace the entry; nothing while a lab uses it.
    ///
    /// # Errors
    /// When the file system has no locks.
    pub fn claim(&self, name: &str) -> Result<Option<EntryClaim>> {
        let claim = locks::claim(&self.lock_file(name)).context("Cannot lock the cache entry")?;
        Ok(claim.map(|file| EntryClaim { _file: file }))
    }

    /// Waits until no other lab makes entries; `waiting` is called when that takes time.
    ///
    /// # Errors
    /// When the folder cannot be made or the file system has no locks.
    pub fn lock(&self, waiting: impl FnOnce()) -> Result<FetchLock> {
        let make = || -> io::Result<File> {
            fs::create_dir_all(&self.folder)?;
            File::create(self.folder.join("fetch.lock"))
        };
        let file = make().with_context(|| {
            let folder = self.folder.display();
            format!("Cannot write to {folder}; name another folder in CHMU_CACHE_DIR")
        })?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(FetchLock { _file: file }),
            Err(Errno::WOULDBLOCK) => waiting(),
            Err(error) => return Err(error).context("Cannot lock the cache folder"),
        }
        rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))
            .context("Cannot lock the cache folder")?;
        Ok(FetchLock { _file: file })
    }

    /// An empty folder to make the entry `name` in, on the cache's own file system. What an
    /// interrupted lab left there is removed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&self, name: &str, _lock: &FetchLock) -> Result<PathBuf> {
        let folder = self.partial(name);
        remove(&folder)?;
        fs::create_dir_all(&folder)
            .with_context(|| format!("Cannot make the folder {}", folder.display()))?;
        Ok(folder)
    }

    /// Gives the finished folder of [`Cache::begin`] the entry's name, in place of an older entry,
    /// in one step. Files of the older one that somebody has open stay as they are.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn complete(&self, name: &str, marker: &impl Serialize, _lock: &FetchLock) -> Result<()> {
        let partial = self.partial(name);
        let marker = serde_json::to_vec_pretty(marker)?;
        fs::write(partial.join(MARKER), marker).context("Cannot write the cache entry's marker")?;
        digests::write(&partial)?;
        write_back(&partial).context("Cannot write the new cache entry to the disk")?;
        exchange(&partial, &self.entry(name))
            .context("Cannot give the new cache entry its name")?;
        remove(&partial)
    }

    /// Removes the unfinished folder of [`Cache::begin`].
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn abandon(&self, name: &str, _lock: &FetchLock) -> Result<()> {
        remove(&self.partial(name))
    }

    /// What the folder takes on the disk; 0 when it does not exist.
    pub fn size_bytes(&self) -> u64 {
        folder_size_bytes(&self.folder)
    }

    fn partial(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.partial"))
    }

    fn lock_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.lock"))
    }
}

/// Gives the new folder the name, and the old one, if there is one, the new one's.
fn exchange(new: &Path, name: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, new, CWD, name, RenameFlags::EXCHANGE) {
        Err(Errno::NOENT) => fs::rename(new, name),
        // Some file systems cannot exchange names.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            let old = name.with_extension("replaced");
            remove(&old).map_err(io::Error::other)?;
            fs::rename(name, &old)?;
            fs::rename(new, name)?;
            fs::rename(&old, new)
        }
        exchanged => Ok(exchanged?),
    }
}

fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.as_os_str().is_empty());
    if let Some(folder) = set("CHMU_CACHE_DIR") {
        return Ok(folder);
    }
    // The XDG base directory specification has relative paths ignored.
    if let Some(folder) = set("XDG_CACHE_HOME").filter(|folder| folder.is_absolute()) {
        return Ok(folder.join("chmu-lab"));
    }
    match set("HOME") {
        Some(home) => Ok(home.join(".cache/chmu-lab")),
        None => bail!("HOME is not set; name a folder for downloads in CHMU_CACHE_DIR"),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("Cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Waits until every file is on the disk: a name given earlier could outlive its content.
fn write_back(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            write_back(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

fn folder_size_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_size_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Result<PathBuf> {
        folder(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn the_folder_follows_the_variables_in_order() {
        let all = [
            ("CHMU_CACHE_DIR", "/a"),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/c"),
        ];
        assert_eq!(chosen(&all).unwrap(), Path::new("/a"));
        assert_eq!(chosen(&all[1..]).unwrap(), Path::new("/b/chmu-lab"));
        assert_eq!(chosen(&all[2..]).unwrap(), Path::new("/c/.cache/chmu-lab"));
        let empty = [("CHMU_CACHE_DIR", ""), ("HOME", "/c")];
        assert_eq!(chosen(&empty).unwrap(), Path::new("/c/.cache/chmu-lab"));
        let relative = [("XDG_CACHE_HOME", "b"), ("HOME", "/c")];
        assert_eq!(chosen(&relative).unwrap(), Path::new("/c/.cache/chmu-lab"));
        assert!(chosen(&[]).is_err() && chosen(&relative[..1]).is_err());
    }

    #[test]
    fn an_entry_appears_only_when_complete() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("cache"));
        let lock = cache.lock(|| ()).unwrap();
        let partial = cache.begin("qemu", &lock).unwrap();
        fs::write(partial.join("half"), "x").unwrap();
        assert_eq!(state(&cache, "qemu"), EntryState::Absent);
        let partial = cache.begin("qemu", &lock).unwrap();
        assert!(!partial.join("half").exists());
        fs::write(partial.join("whole"), "x").unwrap();
        cache.complete("qemu", &"1.0", &lock).unwrap();
        assert_eq!(state(&cache, "qemu"), EntryState::Whole("1.0".to_owned()));
        assert!(cache.entry("qemu").join("whole").exists());
    }

    #[test]
    fn a_new_entry_replaces_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let lock = cache.lock(|| ()).unwrap();
        for version in ["1", "2"] {
            cache.begin("kernel", &lock).unwrap();
            cache.complete("kernel", &version, &lock).unwrap();
        }
        assert_eq!(state(&cache, "kernel"), EntryState::Whole("2".to_owned()));
        assert!(!folder.path().join("kernel.partial").exists());
    }

    #[test]
    fn a_changed_entry_is_damaged_and_one_without_digests_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let lock = cache.lock(|| ()).unwrap();
        cache.begin("qemu", &lock).unwrap();
        cache.complete("qemu", &"1.0", &lock).unwrap();
        fs::write(cache.entry("qemu").join(MARKER), "\"1.1\"").unwrap();
        let EntryState::Damaged(damage) = state(&cache, "qemu") else {
            panic!("No damage");
        };
        let entry = cache.entry("qemu");
        let said = format!("entry.json in {} is not as it was fetched", entry.display());
        assert_eq!(damage.to_string(), said);
        fs::remove_file(entry.join(digests::FILE_NAME)).unwrap();
        assert_eq!(state(&cache, "qemu"), EntryState::Absent);
    }

    #[test]
    fn an_entry_in_use_is_not_claimed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        assert!(cache.claim("qemu").unwrap().is_some());
        cache.hold("qemu").unwrap();
        assert!(cache.claim("qemu").unwrap().is_none());
        assert!(cache.claim("kernel").unwrap().is_some());
        // A folder that cannot be made holds nothing, and nothing is to be held.
        let blocked = Cache::at(&cache.lock_file("qemu").join("below"));
        assert!(blocked.hold("qemu").is_err());
    }

    fn state(cache: &Cache, name: &str) -> EntryState<String> {
        cache.check(name).unwrap()
    }

    #[test]
    fn a_second_lab_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let first = cache.lock(|| ()).unwrap();
        let (told, hears) = std::sync::mpsc::channel();
        let other = cache.clone();
        let second = std::thread::spawn(move || {
            let _lock = other.lock(|| told.send(()).unwrap()).unwrap();
        });
        hears.recv().unwrap();
        drop(first);
        second.join().unwrap();
    }
}
