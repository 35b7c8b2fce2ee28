// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DAMON's control files.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chmu_machine::sysfs_file::{self, SysfsError};

/// DAMON answers EBUSY, rather than wait, while somebody else writes; so long it is asked again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two questions.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// No value is longer.
const VALUE_MAX: usize = 64;

/// Threads of this process have DAMON one after the other: while one waits for the end of an interval, however
/// long that takes, the kernel refuses the others.
static TURN: Mutex<()> = Mutex::new(());

/// A file that stays open: each value is written and read at its start.
#[derive(Debug)]
pub(crate) struct ControlFile {
    file: File,
    path: PathBuf,
}

impl ControlFile {
    /// Opens a file to write values into.
    pub(crate) fn to_write(path: &Path) -> Result<ControlFile, SysfsError> {
        let file = OpenOptions::new().write(true).open(path);
        let file = file.map_err(|source| SysfsError::Write {
            path: path.to_owned(),
            value: String::new(),
            source,
        })?;
        Ok(ControlFile {
            file,
            path: path.to_owned(),
        })
    }

    /// Opens a file to read values from.
    pub(crate) fn to_read(path: &Path) -> Result<ControlFile, SysfsError> {
        let file = File::open(path).map_err(|source| SysfsError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(ControlFile {
            file,
            path: path.to_owned(),
        })
    }

    /// Writes a value; an error of EBUSY has lasted for [`BUSY_TIMEOUT`].
    pub(crate) fn write(&self, value: &str) -> Result<(), SysfsError> {
        until_free(|| {
            let written = self.file.write_all_at(format!("{value}\n").as_bytes(), 0);
            written.map_err(|source| SysfsError::Write {
                path: self.path.clone(),
                value: value.to_owned(),
                source,
            })
        })
    }

    /// Reads the value as it is now.
    pub(crate) fn number(&self) -> Result<u64, SysfsError> {
        let text = until_free(|| {
            let mut bytes = [0; VALUE_MAX];
            match self.file.read_at(&mut bytes, 0) {
                Ok(length) => Ok(String::from_utf8_lossy(&bytes[..length]).trim().to_owned()),
                Err(source) => Err(SysfsError::Read {
                    path: self.path.clone(),
                    source,
                }),
            }
        })?;
        let number = sysfs_file::parse_number(&text);
        number.ok_or_else(|| sysfs_file::content(&self.path, text, "number"))
    }
}

/// Writes `value` into a file that is used once.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), SysfsError> {
    until_free(|| sysfs_file::write(path, value))
}

/// The kernel answered EBUSY.
pub(crate) fn is_busy(error: &SysfsError) -> bool {
    error.errno() == Some(libc::EBUSY)
}

fn until_free<T>(mut attempt: impl FnMut() -> Result<T, SysfsError>) -> Result<T, SysfsError> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match attempt() {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}
