// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who uses what: locks of the cache folder, which the kernel takes back when a lab ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// What this process uses, until it ends: its guests may read the files at any time.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Holds a lock file together with others, for as long as the process lives. In a folder that
/// nobody can write to there is nothing to hold.
pub(super) fn hold(path: &Path) -> io::Result<()> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if is_read_only(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockShared))?;
    HELD.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(file);
    Ok(())
}

/// Holds a lock file alone, until the result is dropped; nothing when others hold it.
pub(super) fn claim(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    // For writing, since network file systems lock nothing else alone.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotFound
    )
}
