// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who uses DAMON: there is one owner at a time, and what a killed one left is taken back.
//!
//! A worker of ours bears a mark, an interval that nobody else chooses. One that runs with the mark
//! while nobody holds the lock was left by a run that was killed; one that runs without it is
//! somebody else's. Workers that are all off, as other programs leave them, are nobody's.

use std::path::{Path, PathBuf};

use chmu_machine::lock::{self, Claim, LockFile};
use chmu_machine::sysfs_file::{self, SysfsError};

use super::control;
use super::error::DamonError;

/// The mark: an interval after which nothing happens, in microseconds.
pub(crate) const MARK_UPDATE_US: u64 = 1_000_000_019;
/// The mark of a worker that watches a process, whose areas it looks for as often.
pub(crate) const MARK_WATCH_US: u64 = 1_000_019;
/// Where the mark is, in a worker's folder.
const MARK_FILE: &str = "contexts/0/monitoring_attrs/intervals/update_us";
/// The lock's file below the folder of running programs.
const LOCK_FILE: &str = "chmu/damon.lock";

/// Where the kernel shows itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `/sys`.
    pub sysfs: PathBuf,
    /// `/proc`.
    pub procfs: PathBuf,
    /// `/run`, for the lock.
    pub runtime: PathBuf,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            sysfs: PathBuf::from("/sys"),
            procfs: PathBuf::from("/proc"),
            runtime: PathBuf::from("/run"),
        }
    }
}

impl Places {
    pub(crate) fn kdamonds(&self) -> PathBuf {
        self.sysfs.join("kernel/mm/damon/admin/kdamonds")
    }
}

/// What a start or a reset finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// No worker, or none that is ours.
    None,
    /// Workers of a run that was killed, so many of them running; they have been taken back.
    TakenBack {
        /// How many moved pages still.
        running: usize,
    },
}

/// Becomes the owner among programs of this kind; none where no lock can be held.
pub(crate) fn claim(places: &Places) -> Result<Option<LockFile>, DamonError> {
    let path = places.runtime.join(LOCK_FILE);
    match lock::claim(&path) {
        Ok(Claim::Ours(lock)) => Ok(Some(lock)),
        Ok(Claim::Theirs(process_id)) => Err(DamonError::InUse { process_id }),
        Err(error) => {
            log::warn!(
                "Cannot lock {}: {error}; no other chmu may use DAMON meanwhile",
                path.display()
            );
            Ok(None)
        }
    }
}

/// Takes back what a killed run of ours left, in the order that the kernel accepts: off, then
/// removed. The caller holds the lock.
///
/// # Errors
/// [`DamonError::Occupied`] when somebody else's worker runs.
pub(crate) fn take_back(places: &Places) -> Result<Remains, DamonError> {
    let kdamonds = places.kdamonds();
    let workers: Vec<_> = sysfs_file::numbered(&kdamonds, "")
        .into_iter()
        .map(|(_, folder)| Worker::look(folder))
        .collect();
    let count = kdamonds.join("nr_kdamonds");
    let foreign: Vec<_> = workers
        .iter()
        .filter(|worker| worker.is_on && !worker.is_marked)
        .map(|worker| worker.folder.join("state"))
        .collect();
    if !foreign.is_empty() {
        return Err(DamonError::Occupied {
            states: foreign,
            count,
        });
    }
    if !workers.iter().any(|worker| worker.is_marked) {
        return Ok(Remains::None);
    }
    let running = workers.iter().filter(|worker| worker.is_on);
    for worker in running.clone() {
        switch_off(&worker.folder.join("state"))?;
    }
    control::write(&count, "0").map_err(DamonError::from)?;
    Ok(Remains::TakenBack {
        running: running.count(),
    })
}

/// Writes off; a worker that has ended meanwhile is off as well.
pub(crate) fn switch_off(state: &Path) -> Result<(), SysfsError> {
    match control::write(state, "off") {
        Err(error) if matches!(error.errno(), Some(libc::EPERM | libc::EINVAL)) => {
            match is_on(state) {
                false => Ok(()),
                true => Err(error),
            }
        }
        result => result,
    }
}

fn is_on(state: &Path) -> bool {
    sysfs_file::text(state).is_ok_and(|state| state == "on")
}

struct Worker {
    folder: PathBuf,
    is_on: bool,
    is_marked: bool,
}

impl Worker {
    fn look(folder: PathBuf) -> Worker {
        let mark = sysfs_file::number(&folder.join(MARK_FILE));
        Worker {
            is_on: is_on(&folder.join("state")),
            is_marked: mark.is_ok_and(|mark| [MARK_UPDATE_US, MARK_WATCH_US].contains(&mark)),
            folder,
        }
    }
}
