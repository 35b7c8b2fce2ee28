// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Debian packages for the guest: any set of them with all that they depend on, as one archive
//! that Linux unpacks over the lab's image.
//!
//! Nothing is configured: the packages' own scripts do not run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::apt;
use super::entry::{Contents, LAYOUT};
use super::fetching::{WORK, prepare_apt};
use super::{WAITING, fetched_anew, unpack};
use crate::archive::Archive;
use crate::cache::{Cache, EntryState, FetchLock};
use crate::progress::Progress;

/// What looks at CXL devices on a Debian system: `cxl`, `daxctl`, `ndctl`, `lspci` and `rasdaemon`,
/// and the index of kernel modules that some of these read.
pub const TOOLS: [&str; 6] = ["cxl", "daxctl", "kmod", "ndctl", "pciutils", "rasdaemon"];

/// The archive's name in its entry.
const ARCHIVE: &str = "files.cpio";
/// Nobody reads these in the guest, and they are a third of a small set.
const LEFT_OUT: [&str; 5] = ["doc", "info", "lintian", "locale", "man"];
/// Folders of a system whose `/usr` is not merged; the guest has links there.
const MERGED_FOLDERS: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Packages of Debian's stable release, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSet {
    names: BTreeSet<String>,
}

impl PackageSet {
    /// The packages of these names.
    ///
    /// # Errors
    /// When a name cannot be that of a package.
    pub fn new<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Result<Self> {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        for name in &names {
            ensure!(
                is_package_name(name),
                "{name:?} is no name of a Debian package: these have lower-case letters, digits, \
                 +, - and ."
            );
        }
        Ok(Self { names })
    }

    /// Whether there is nothing to fetch.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The file with the archive, fetched if the cache lacks it.
    ///
    /// # Errors
    /// When a package does not exist, this machine has no apt, or no mirror answers.
    pub fn obtain(&self, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
        let entry = self.entry();
        let archive = cache.entry(&entry).join(ARCHIVE);
        cache.hold(&entry)?;
        if self.is_whole(cache)? {
            return Ok(archive);
        }
        let lock = cache.lock(|| progress.step(WAITING))?;
        if !self.is_whole(cache)? {
            if let EntryState::Damaged(damage) = self.state(cache)? {
                progress.say(&fetched_anew(&damage));
            }
            self.fetch(cache, &lock, progress)?;
        }
        Ok(archive)
    }

    /// Fetches the archive also where the cache has it, unless a running lab uses that one.
    ///
    /// # Errors
    /// As for [`Self::obtain`].
    pub fn refresh(&self, cache: &Cache, progress: &Progress) -> Result<()> {
        let lock = cache.lock(|| progress.step(WAITING))?;
        match cache.claim(&self.entry())? {
            Some(_claim) => self.fetch(cache, &lock, progress),
            None => {
                progress.say("A running lab uses the guest's packages, which stay as they are");
                Ok(())
            }
        }
    }

    /// How it stands with the set in the cache.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn state(&self, cache: &Cache) -> Result<EntryState<Contents>> {
        super::state(cache, &self.entry())
    }

    fn is_whole(&self, cache: &Cache) -> Result<bool> {
        Ok(matches!(self.state(cache)?, EntryState::Whole(_)))
    }

    fn words(&self) -> String {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        names.join(", ")
    }

    /// The names' digest, since any number of them must fit into a file's name.
    fn entry(&self) -> String {
        let digest = Sha256::digest(self.words());
        let digits: String = digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("packages-{digits}")
    }

    fn fetch(&self, cache: &Cache, lock: &FetchLock, progress: &Progress) -> Result<()> {
        let made = self.make(cache, lock, progress);
        // An error of the fetching says more than one of the cleaning up.
        let cleaned = cache.abandon(WORK, lock);
        made.with_context(|| format!("Cannot get Debian's packages {}", self.words()))?;
        cleaned
    }

    fn make(&self, cache: &Cache, lock: &FetchLock, progress: &Progress) -> Result<()> {
        let entry = self.entry();
        let (work, apt) = prepare_apt(cache, lock, progress)?;
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        let packages = apt.closure(apt::STABLE, &names)?;
        let downloads = work.join("packages.downloads");
        let root = work.join("packages.root");
        fs::create_dir_all(&downloads).context("Cannot make the download folder")?;
        progress.step(format!(
            "Downloading {}: {} packages",
            self.words(),
            packages.len()
        ));
        apt.download(&packages, &downloads, progress)?;
        progress.step(format!("Unpacking {} packages", packages.len()));
        unpack::packages(&downloads, &root)?;
        let folder = cache.begin(&entry, lock)?;
        fs::write(folder.join(ARCHIVE), archive_of(&root)?)
            .context("Cannot write the packages' archive")?;
        let contents = Contents {
            layout: LAYOUT,
            version: self.words(),
            packages: packages
                .iter()
                .map(|package| format!("{} {}", package.name, package.version))
                .collect(),
        };
        cache.complete(&entry, &contents, lock)
    }
}

/// Debian Policy 5.6.1.
fn is_package_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() >= 2
        && name.starts_with(|first: char| u8::try_from(first).is_ok_and(allowed))
        && name
            .bytes()
            .all(|byte| allowed(byte) || b"+-.".contains(&byte))
}

/// All files of an unpacked system, in the order of their names.
fn archive_of(root: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    add_folder(&mut archive, root, "")?;
    archive.finish()
}

fn add_folder(archive: &mut Archive, root: &Path, folder: &str) -> Result<()> {
    let path = root.join(folder);
    let read = || fs::read_dir(&path)?.collect::<std::io::Result<Vec<_>>>();
    let mut entries = read().with_context(|| format!("Cannot read {}", path.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_str().with_context(|| {
            let path = entry.path();
            format!("{} is no text, as names in the archive are", path.display())
        })?;
        let inside = match folder {
            "" => name.to_owned(),
            _ => format!("{folder}/{name}"),
        };
        if folder == "usr/share" && LEFT_OUT.contains(&name) {
            continue;
        }
        add_entry(archive, root, &inside, &entry)?;
    }
    Ok(())
}

fn add_entry(archive: &mut Archive, root: &Path, inside: &str, entry: &fs::DirEntry) -> Result<()> {
    let path = entry.path();
    let read = || format!("Cannot read {}", path.display());
    let kind = entry.file_type().with_context(read)?;
    let place = placed(inside);
    if kind.is_dir() {
        if !MERGED_FOLDERS.contains(&inside) {
            archive.folder(&place)?;
        }
        return add_folder(archive, root, inside);
    }
    if kind.is_symlink() && MERGED_FOLDERS.contains(&inside) {
        return Ok(());
    }
    if kind.is_symlink() {
        let target = fs::read_link(&path).with_context(read)?;
        let target = target.to_str().with_context(read)?;
        return archive.link(&place, target);
    }
    ensure!(kind.is_file(), "{inside} is neither file, folder nor link");
    let permissions = entry.metadata().with_context(read)?.permissions().mode() & 0o7777;
    archive.file_with_permissions(&place, &fs::read(&path).with_context(read)?, permissions)
}

/// Where a file of an unmerged system lies in the guest.
fn placed(inside: &str) -> String {
    let top = inside.split('/').next().unwrap_or_default();
    match MERGED_FOLDERS.contains(&top) && inside != top {
        true => format!("usr/{inside}"),
        false => inside.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn names_of_packages_are_looked_at() {
        for name in ["cxl", "libstdc++6", "libperl5.40", "0ad"] {
            assert!(PackageSet::new([name]).is_ok(), "{name}");
        }
        for name in [
            "",
            "a",
            "Cxl",
            "cxl daxctl",
            "-t",
            "../x",
            "cxl=1",
            "cxl/sid",
        ] {
            let error = PackageSet::new([name]).unwrap_err();
            assert!(error.to_string().contains("no name of a Debian package"));
        }
    }

    #[test]
    fn a_set_has_one_entry_in_any_order() {
        let entry = |names: &[&str]| PackageSet::new(names.iter().copied()).unwrap().entry();
        assert_eq!(entry(&["cxl", "daxctl"]), entry(&["daxctl", "cxl", "cxl"]));
        assert_ne!(entry(&["cxl"]), entry(&["daxctl"]));
        assert!(entry(&TOOLS).len() < 32);
    }

    #[test]
    fn a_fetched_set_is_not_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let set = PackageSet::new(TOOLS).unwrap();
        let lock = cache.lock(|| ()).unwrap();
        let partial = cache.begin(&set.entry(), &lock).unwrap();
        fs::write(partial.join(ARCHIVE), "x").unwrap();
        let contents = Contents {
            layout: LAYOUT,
            version: set.words(),
            packages: vec!["cxl 81-1".into()],
        };
        cache.complete(&set.entry(), &contents, &lock).unwrap();
        drop(lock);
        let file = set.obtain(&cache, &Progress::hidden()).unwrap();
        assert_eq!(fs::read(file).unwrap(), b"x");
    }

    /// Paths with modes and contents.
    fn listed(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut rest = archive;
        let mut files = Vec::new();
        loop {
            let mut reader = cpio::NewcReader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                return files;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            files.push((name, mode, content));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn files_keep_their_modes_and_get_their_places() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, permissions: u32| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "content").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(permissions)).unwrap();
        };
        put("usr/bin/cxl", 0o755);
        put("usr/bin/su", 0o4755);
        put("bin/old", 0o755);
        put("usr/share/doc/cxl/copyright", 0o644);
        put("usr/share/misc/pci.ids", 0o644);
        let loader = root.path().join("usr/lib64/ld.so");
        fs::create_dir_all(loader.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("../lib/ld.so", loader).unwrap();
        let archive = archive_of(root.path()).unwrap();
        let files = listed(&archive);
        let mode = |path: &str| {
            let file = files.iter().find(|(name, ..)| name == path);
            file.map(|(_, mode, _)| *mode)
        };
        assert_eq!(mode("usr/bin/cxl"), Some(0o100_755));
        assert_eq!(mode("usr/bin/su"), Some(0o104_755));
        assert_eq!(mode("usr/bin/old"), Some(0o100_755));
        assert_eq!(mode("usr/lib64/ld.so"), Some(0o120_777));
        assert_eq!(mode("usr/share/misc/pci.ids"), Some(0o100_644));
        assert_eq!(
            mode("bin"),
            None,
            "a folder would take the place of the link"
        );
        assert!(files.iter().all(|(name, ..)| !name.contains("doc")));
        assert_eq!(archive, archive_of(root.path()).unwrap());
        assert!(
            archive
                .len()
                .is_multiple_of(crate::archive::ALIGNMENT_BYTES)
        );
    }
}
