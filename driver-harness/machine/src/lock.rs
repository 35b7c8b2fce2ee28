// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One owner at a time: a file that the kernel keeps locked for as long as a process lives, however
//! it ends.
//!
//! The file names the owner. An owner that ends as it should empties it, so that a name in a file that
//! nobody has locked is that of a process that was killed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// More than a number and a name is in no lock file of ours.
const CONTENT_MAX: u64 = 64;

/// A lock file that this process holds alone, until it is dropped.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    left_by: Option<u32>,
    /// The name of this process stays in the file.
    unfinished: bool,
}

impl LockFile {
    /// The process that held the file before and was killed; none when the last owner ended as it
    /// should, or there was none.
    pub fn left_by(&self) -> Option<u32> {
        self.left_by
    }

    /// Lets the next owner know that this one could not put back what the lock is for, as if it had been
    /// killed.
    pub fn leave_unfinished(&mut self) {
        self.unfinished = true;
    }
}

impl Drop for LockFile {
    /// The lock itself ends with the file.
    fn drop(&mut self) {
        if !self.unfinished {
            // A name that stays is only that of a process that does not live any more.
            let _ = self.file.set_len(0);
        }
    }
}

/// What became of the wish to be the owner.
#[derive(Debug)]
pub enum Claim {
    /// This process is it.
    Ours(LockFile),
    /// Another process is it, by the number that it left in the file.
    Theirs(Option<u32>),
}

/// Claims a lock file, made with its folder where it is not there yet, for this process.
///
/// # Errors
/// When file or folder cannot be made or locked.
pub fn claim(path: &Path) -> io::Result<Claim> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            let left_by = named(&file);
            file.rewind()?;
            file.set_len(0)?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
            Ok(Claim::Ours(LockFile {
                file,
                left_by,
                unfinished: false,
            }))
        }
        Err(Errno::WOULDBLOCK) => Ok(Claim::Theirs(named(&file))),
        Err(error) => Err(error.into()),
    }
}

/// The process that a lock file names; none where it holds anything else.
fn named(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(CONTENT_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_owner_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/some.lock");
        // Somebody who was killed left a number that is longer.
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "4294967295\n").unwrap();
        let Claim::Ours(ours) = claim(&path).unwrap() else {
            panic!("nobody holds it");
        };
        let id = std::process::id();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{id}\n"));
        let Claim::Theirs(owner) = claim(&path).unwrap() else {
            panic!("it is held");
        };
        assert_eq!(owner, Some(id));
        assert_eq!(ours.left_by(), Some(u32::MAX));
        drop(ours);
        let Claim::Ours(mut ours) = claim(&path).unwrap() else {
            panic!("nobody holds it");
        };
        assert_eq!(ours.left_by(), None, "the last owner ended as it should");
        ours.leave_unfinished();
        drop(ours);
        let Claim::Ours(ours) = claim(&path).unwrap() else {
            panic!("nobody holds it");
        };
        assert_eq!(ours.left_by(), Some(id), "the last owner could not");
        assert!(claim(Path::new("/proc/no/such.lock")).is_err());
    }
}
