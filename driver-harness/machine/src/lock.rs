// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One owner at a time: a file that the kernel keeps locked for as long as a process lives, however
//! it ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// More than a number and a name is in no lock file of ours.
const CONTENT_MAX: u64 = 64;

/// A lock file that this process holds alone, until it is dropped.
#[derive(Debug)]
pub struct LockFile {
    _file: File,
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
            file.set_len(0)?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
            Ok(Claim::Ours(LockFile { _file: file }))
        }
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            file.take(CONTENT_MAX).read_to_string(&mut text)?;
            Ok(Claim::Theirs(text.trim().parse().ok()))
        }
        Err(error) => Err(error.into()),
    }
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
        drop(ours);
        assert!(matches!(claim(&path).unwrap(), Claim::Ours(_)));
        assert!(claim(Path::new("/proc/no/such.lock")).is_err());
    }
}
