// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The folder of one run: sockets, generated files and logs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rustix::fs::FlockOperation;
use tempfile::TempDir;

use super::listening;

/// A socket's path has 108 bytes with the final NUL; the longest name in the folder fits in the
/// difference.
const PATH_LIMIT_BYTES: usize = 80;
/// Short on every system.
const LAST_RESORT: &str = "/tmp";
const PREFIX: &str = "chmu-lab-";
/// Locked by the lab that uses the folder; not empty when the folder is to outlive it.
const OWNER: &str = "owner";
/// Where runs put their largest file.
pub(super) const INITRAMFS: &str = "initramfs";
/// Several times what a run writes.
const NEEDED_BYTES: u64 = 64 << 20;

/// A folder that is removed with its content when dropped, unless it was kept. When its lab is
/// killed, the next run removes it.
#[derive(Debug)]
pub(super) struct RunFolder {
    folder: TempDir,
    owner: File,
}

impl RunFolder {
    /// Makes a folder, and removes those that labs left behind which were killed.
    pub(super) fn create() -> Result<Self> {
        Self::create_in_first(&places())
    }

    fn create_in_first(places: &[PathBuf]) -> Result<Self> {
        let mut refusals = Vec::new();
        for place in places {
            remove_abandoned(place);
            match check(place).and_then(|()| Self::create_in(place)) {
                Ok(folder) => return Ok(folder),
                Err(error) => refusals.push(format!("{}: {error}", place.display())),
            }
        }
        bail!(
            "There is no place for a run's files; name one in TMPDIR ({})",
            refusals.join("; ")
        )
    }

    fn create_in(place: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        // The file has its name only once it is locked: nobody finds it without an owner.
        let unnamed = folder.path().join("owner.new");
        let owner = File::create_new(&unnamed)?;
        rustix::fs::flock(&owner, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(unnamed, folder.path().join(OWNER))?;
        Ok(Self { folder, owner })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder for good.
    pub(super) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
        if let Err(error) = self.owner.write_all(b"kept\n") {
            log::warn!("The next run may remove {}: {error}", self.path().display());
        }
    }

    /// Keeps the folder for good, but for what can be made again and takes most of the room.
    pub(super) fn keep_logs(&mut self) {
        self.keep();
        // Nothing is lost when it stays.
        let _ = fs::remove_file(self.path().join(INITRAMFS));
    }

    /// Leaves the folder to whoever starts something in it; a later run removes it when nothing
    /// uses its sockets.
    pub(super) fn leave(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.path().to_owned()
    }
}

/// The user's runtime folder, else the folder for temporary files.
fn places() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut places: Vec<_> = runtime
        .into_iter()
        .filter(|folder| !folder.as_os_str().is_empty())
        .chain([std::env::temp_dir(), LAST_RESORT.into()])
        .collect();
    places.dedup();
    places
}

/// Whether sockets below a folder can be named, and its file system has room.
fn check(place: &Path) -> io::Result<()> {
    let is_short =
        place.as_os_str().as_bytes().len() + "/chmu-lab-123456".len() <= PATH_LIMIT_BYTES;
    let is_plain = place
        .to_str()
        .is_some_and(|path| !path.contains([',', '\n']));
    let refusal = match place {
        _ if !place.is_absolute() => "the path does not begin at the root",
        _ if !is_short => "the path is too long for sockets",
        _ if !is_plain => "QEMU's options can only have UTF-8 without commas",
        _ => {
            let status = rustix::fs::statvfs(place)?;
            match status.f_bavail.saturating_mul(status.f_frsize) {
                0..NEEDED_BYTES => "the file system is full",
                _ => return Ok(()),
            }
        }
    };
    Err(io::Error::other(refusal))
}

/// Removes the folders of this user's labs that were killed.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if !entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let folder = entry.path();
        match remove_if_abandoned(&folder) {
            Ok(true) => log::info!("Removed {}, left by a lab that is gone", folder.display()),
            Ok(false) => {}
            Err(error) => log::debug!("{} stays: {error}", folder.display()),
        }
    }
}

fn remove_if_abandoned(folder: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    let owner = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(folder.join(OWNER))?;
    let is_free = rustix::fs::flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok();
    if !is_free || owner.metadata()?.len() > 0 || listening::is_used(folder)? {
        return Ok(false);
    }
    fs::remove_dir_all(folder).map(|()| true)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn folder_in(place: &Path) -> RunFolder {
        RunFolder::create_in_first(&[place.to_owned()]).unwrap()
    }

    /// What stays when the folder's lab is killed.
    fn killed(folder: RunFolder) -> PathBuf {
        fs::write(folder.path().join(INITRAMFS), "9 MB").unwrap();
        folder.leave()
    }

    #[test]
    fn the_folder_goes_unless_it_was_kept() {
        let folder = RunFolder::create().unwrap();
        let path = folder.path().to_owned();
        assert!(path.as_os_str().len() <= PATH_LIMIT_BYTES);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn the_next_run_removes_what_a_killed_one_left() {
        let place = tempfile::tempdir().unwrap();
        let alive = folder_in(place.path());
        let abandoned = killed(folder_in(place.path()));
        let next = folder_in(place.path());
        assert!(!abandoned.exists());
        assert!(alive.path().exists() && next.path().exists());
    }

    #[test]
    fn kept_folders_and_strange_ones_stay() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = folder_in(place.path());
        fs::write(folder.path().join(INITRAMFS), "9 MB").unwrap();
        folder.keep_logs();
        let kept = folder.path().to_owned();
        drop(folder);
        let strange = place.path().join("chmu-lab-notes");
        fs::create_dir(&strange).unwrap();
        drop(folder_in(place.path()));
        assert!(kept.exists() && strange.exists());
        assert!(!kept.join(INITRAMFS).exists());
    }

    #[test]
    fn a_folder_stays_while_its_sockets_are_used() {
        let place = tempfile::tempdir().unwrap();
        let left = killed(folder_in(place.path()));
        let listener = UnixListener::bind(left.join("device.sock")).unwrap();
        drop(folder_in(place.path()));
        assert!(left.exists());
        drop(listener);
        drop(folder_in(place.path()));
        assert!(!left.exists());
    }

    #[test]
    fn places_that_cannot_be_used_are_passed_over_or_named() {
        let place = tempfile::tempdir().unwrap();
        // Not even root can make folders there.
        let read_only = PathBuf::from("/proc/self");
        let comma = place.path().join("a,b");
        let bytes = place.path().join(OsStr::from_bytes(b"\xff"));
        let long = place.path().join("x".repeat(PATH_LIMIT_BYTES));
        let missing = place.path().join("missing");
        let mut places = vec![read_only, comma, bytes, long, missing, "relative".into()];
        for made in &places[1..4] {
            fs::create_dir(made).unwrap();
        }
        let error = RunFolder::create_in_first(&places).unwrap_err().to_string();
        for place in &places {
            assert!(error.contains(&place.display().to_string()), "{error}");
        }
        places.push(place.path().to_owned());
        let folder = RunFolder::create_in_first(&places).unwrap();
        assert_eq!(folder.path().parent(), Some(place.path()));
    }
}
