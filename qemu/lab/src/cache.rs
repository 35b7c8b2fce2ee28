// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The folder that keeps what was fetched: entries that are there as a whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Written last into an entry before it gets its name.
const MARKER: &str = "entry.json";

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
    /// `$CHMU_CACHE_DIR`, else `$XDG_CACHE_HOME/chmu-lab`, else `~/.cache/chmu-lab`.
    ///
    /// # Errors
    /// When none of the three variables is set.
    pub fn open() -> Result<Self> {
        Ok(Self {
            folder: folder(|name| std::env::var_os(name).map(PathBuf::from))?,
        })
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

    /// What was said of the entry when it was made; nothing when it is not there.
    ///
    /// # Errors
    /// When the entry is there but was changed from outside.
    pub fn marker<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.entry(name).join(MARKER);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("Cannot read {}", path.display())),
        };
        let marker = serde_json::from_slice(&text).with_context(|| {
            let entry = self.entry(name);
            format!("The cache is damaged; remove {}", entry.display())
        })?;
        Ok(Some(marker))
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
            Err(rustix::io::Errno::WOULDBLOCK) => waiting(),
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

    /// Gives the finished folder of [`Cache::begin`] the entry's name, in place of an older entry.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn complete(&self, name: &str, marker: &impl Serialize, _lock: &FetchLock) -> Result<()> {
        let partial = self.partial(name);
        let marker = serde_json::to_vec_pretty(marker)?;
        fs::write(partial.join(MARKER), marker).context("Cannot write the cache entry's marker")?;
        write_back(&partial).context("Cannot write the new cache entry to the disk")?;
        let replaced = self.folder.join(format!("{name}.replaced"));
        remove(&replaced)?;
        let entry = self.entry(name);
        if entry.exists() {
            fs::rename(&entry, &replaced).context("Cannot move the old cache entry away")?;
        }
        fs::rename(&partial, &entry).context("Cannot give the new cache entry its name")?;
        remove(&replaced)
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
}

fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.as_os_str().is_empty());
    if let Some(folder) = set("CHMU_CACHE_DIR") {
        return Ok(folder);
    }
    if let Some(folder) = set("XDG_CACHE_HOME") {
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
        assert!(chosen(&[]).is_err());
    }

    #[test]
    fn an_entry_appears_only_when_complete() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("cache"));
        let lock = cache.lock(|| ()).unwrap();
        let partial = cache.begin("qemu", &lock).unwrap();
        fs::write(partial.join("half"), "x").unwrap();
        assert_eq!(cache.marker::<String>("qemu").unwrap(), None);
        let partial = cache.begin("qemu", &lock).unwrap();
        assert!(!partial.join("half").exists());
        fs::write(partial.join("whole"), "x").unwrap();
        cache.complete("qemu", &"1.0", &lock).unwrap();
        let marker = cache.marker::<String>("qemu").unwrap();
        assert_eq!(marker.as_deref(), Some("1.0"));
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
        let marker = cache.marker::<String>("kernel").unwrap();
        assert_eq!(marker.as_deref(), Some("2"));
        assert!(!folder.path().join("kernel.replaced").exists());
    }

    #[test]
    fn a_damaged_marker_names_what_to_remove() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        fs::create_dir(cache.entry("qemu")).unwrap();
        fs::write(cache.entry("qemu").join(MARKER), "{").unwrap();
        let error = cache.marker::<String>("qemu").unwrap_err();
        assert!(error.to_string().contains("remove"));
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
