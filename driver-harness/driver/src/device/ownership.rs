// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who drives a unit: one owner at a time.
//!
//! Programs of this project claim a file for each unit that the kernel keeps locked for as long as they
//! live. Everybody else is known by what they do: a kernel's driver shows the unit as a
//! performance-monitoring unit, and whoever drives it has it enabled. A unit that is enabled while
//! nobody holds its lock was left so by a run that was killed, if the lock file names a process that has
//! ended; otherwise it is somebody else's.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use chmu_machine::lock::{self, Claim, LockFile};

use super::unit::Unit;
use super::unit_error::UnitError;

/// The folder of lock files below that of running programs.
const LOCK_FOLDER: &str = "chmu";
/// Where the kernel lists the performance-monitoring units that its drivers have made.
const PERF_DEVICES: &str = "bus/event_source/devices";

/// Where owners are known from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// `/run`, for the locks.
    pub runtime: PathBuf,
    /// `/sys`, for what the kernel drives.
    pub sysfs: PathBuf,
    /// `/proc`, for who lives.
    pub procfs: PathBuf,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry {
            runtime: PathBuf::from("/run"),
            sysfs: PathBuf::from("/sys"),
            procfs: PathBuf::from("/proc"),
        }
    }
}

/// What the new owner of a unit finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nobody used it.
    Free,
    /// A run of ours that was killed left it enabled.
    Abandoned {
        /// The number of that process.
        process_id: u32,
    },
    /// Somebody else uses it, and it is taken nonetheless.
    TakenOver,
}

/// A unit that has another owner.
#[derive(Debug, thiserror::Error)]
pub enum OwnershipError {
    /// A program of this project that lives.
    #[error("{unit} is in use by {}", owner(*process_id))]
    InUse {
        /// The unit.
        unit: String,
        /// The program's process, where that is known.
        process_id: Option<u32>,
    },
    /// The kernel's driver has it.
    #[error(
        "{unit} is driven by the kernel, as {}; unload its driver, or insist with --take-over",
        device.display()
    )]
    Kernel {
        /// The unit.
        unit: String,
        /// The kernel's performance-monitoring unit.
        device: PathBuf,
    },
    /// It counts, and nobody says for whom.
    #[error(
        "{unit} counts already, for a program that is not known; end that, or insist with --take-over"
    )]
    Enabled {
        /// The unit.
        unit: String,
    },
    /// Its registers cannot be read.
    #[error("Cannot tell whether {unit} is in use")]
    Unit {
        /// The unit.
        unit: String,
        /// What stands in the way.
        source: Box<UnitError>,
    },
}

fn owner(process_id: Option<u32>) -> String {
    match process_id {
        Some(process_id) => format!("process {process_id}; end it first"),
        None => "another chmu; end it first".to_owned(),
    }
}

/// What shows other programs that a unit has an owner, for as long as it is kept.
#[derive(Debug)]
pub enum UnitLock {
    /// A locked file.
    File(LockFile),
    /// A socket's name, where no file can be made.
    Socket(UnixListener),
}

impl UnitLock {
    /// The unit still counts when its owner ends; a socket's name cannot tell that to the next one.
    pub(super) fn leave_unfinished(&mut self) {
        if let UnitLock::File(file) = self {
            file.leave_unfinished();
        }
    }
}

impl Registry {
    /// Makes this process the owner of `unit` until the unit is dropped. With `insist`, also of one that
    /// somebody else uses; never of one that another living program of this project holds.
    ///
    /// # Errors
    /// When the unit has another owner, or its registers cannot be read. Nothing is written to it.
    pub fn claim(&self, unit: &mut Unit, insist: bool) -> Result<Found, OwnershipError> {
        let lock = self.lock(unit)?;
        let found = self.look(unit, lock.as_ref(), insist)?;
        if let Some(lock) = lock {
            unit.keep(lock);
        }
        Ok(found)
    }

    fn look(
        &self,
        unit: &Unit,
        lock: Option<&UnitLock>,
        insist: bool,
    ) -> Result<Found, OwnershipError> {
        let name = || unit.name().to_owned();
        let device = self.sysfs.join(PERF_DEVICES).join(unit.name());
        if device.exists() {
            return match insist {
                true => Ok(Found::TakenOver),
                false => Err(OwnershipError::Kernel {
                    unit: name(),
                    device,
                }),
            };
        }
        let counts = unit.counts().map_err(|source| OwnershipError::Unit {
            unit: name(),
            source: Box::new(source),
        })?;
        if !counts {
            return Ok(Found::Free);
        }
        match (lock.and_then(|lock| self.killed_owner(lock)), insist) {
            (Some(process_id), _) => Ok(Found::Abandoned { process_id }),
            (None, true) => Ok(Found::TakenOver),
            (None, false) => Err(OwnershipError::Enabled { unit: name() }),
        }
    }

    /// The process that was killed while it held the lock.
    fn killed_owner(&self, lock: &UnitLock) -> Option<u32> {
        let UnitLock::File(file) = lock else {
            return None;
        };
        let process_id = file.left_by()?;
        // A number that lives again says nothing.
        let lives = self.procfs.join(process_id.to_string()).exists();
        (!lives).then_some(process_id)
    }

    /// None where neither a file nor a socket's name can be had.
    fn lock(&self, unit: &Unit) -> Result<Option<UnitLock>, OwnershipError> {
        let key = lock_name(unit);
        let path = self.runtime.join(LOCK_FOLDER).join(format!("{key}.lock"));
        let in_use = |process_id| OwnershipError::InUse {
            unit: unit.name().to_owned(),
            process_id,
        };
        let error = match lock::claim(&path) {
            Ok(Claim::Ours(file)) => return Ok(Some(UnitLock::File(file))),
            Ok(Claim::Theirs(process_id)) => return Err(in_use(process_id)),
            Err(error) => error,
        };
        match name_socket(&path) {
            Ok(socket) => Ok(Some(UnitLock::Socket(socket))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(in_use(None)),
            Err(_) => {
                log::warn!(
                    "Cannot lock {}: {error}; no other chmu may use {} meanwhile",
                    path.display(),
                    unit.name()
                );
                Ok(None)
            }
        }
    }
}

/// A name in the kernel's own space of socket names, which ends with the process.
fn name_socket(path: &Path) -> io::Result<UnixListener> {
    let address = SocketAddr::from_abstract_name(path.as_os_str().as_encoded_bytes())?;
    UnixListener::bind_addr(&address)
}

/// By the function, whatever its memory device is called now.
fn lock_name(unit: &Unit) -> String {
    let id = unit.instance().id;
    let device = unit.transport().device().replace('/', "-");
    format!("{device}.{}.{}", id.block, id.instance)
}
