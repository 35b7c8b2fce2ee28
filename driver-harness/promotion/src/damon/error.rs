// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why DAMON does not do what it is to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chmu_machine::refusal::{Refusal, unmounted};
use chmu_machine::sysfs_file::SysfsError;

use crate::severity::Severity;

/// Why DAMON does not do what it is to.
#[derive(Debug, thiserror::Error)]
pub enum DamonError {
    /// There is no DAMON.
    #[error("There is no {}: {refusal}", folder.display())]
    Absent {
        /// Where it should be.
        folder: PathBuf,
        /// Why not, and what helps.
        refusal: Refusal,
    },
    /// It does not work on physical addresses.
    #[error(
        "DAMON has no operations on physical addresses, only {found}; the kernel lacks \
         CONFIG_DAMON_PADDR"
    )]
    NoPhysicalAddresses {
        /// What it works on.
        found: String,
    },
    /// It does not know how to move pages.
    #[error("DAMON does not know migrate_hot; that takes Linux 6.11 or newer")]
    NoMigration(#[source] SysfsError),
    /// This user may not set it up.
    #[error("Cannot set DAMON up: {refusal}")]
    Refused {
        /// Why not, and what helps.
        refusal: Refusal,
        /// What the kernel said.
        source: SysfsError,
    },
    /// A module keeps DAMON for itself.
    #[error(
        "The module {module} keeps DAMON for itself; switch it off by writing N to {}, or start \
         the kernel with {module}.enabled=0", switch.display()
    )]
    Exclusive {
        /// The module.
        module: &'static str,
        /// Its switch.
        switch: PathBuf,
    },
    /// Another program runs DAMON.
    #[error(
        "Another program runs DAMON; end it, or stop DAMON by writing off to {} and then 0 to {}",
        states.iter().map(|state| state.display().to_string()).collect::<Vec<_>>().join(", "),
        count.display()
    )]
    Occupied {
        /// The state files of the workers that run.
        states: Vec<PathBuf>,
        /// The file that holds the number of workers.
        count: PathBuf,
    },
    /// Another chmu moves pages by it.
    #[error(
        "Another chmu uses DAMON{}; end it first",
        process_id.map_or_else(String::new, |id| format!(", process {id}"))
    )]
    InUse {
        /// That process, where it is known.
        process_id: Option<u32>,
    },
    /// DAMON does not start although nothing that is known to keep it does.
    #[error("DAMON is busy with another user's work; end that before promoting pages")]
    Busy(#[source] SysfsError),
    /// More parts of this program want a worker than there are.
    #[error("All {workers} DAMON workers of this run are in use; name fewer sources")]
    NoWorkerLeft {
        /// How many there are.
        workers: usize,
    },
    /// It cannot work on what it is to.
    #[error("DAMON has no operations {operations}, only {found}")]
    NoOperations {
        /// What it is to work by.
        operations: &'static str,
        /// What it works by.
        found: String,
    },
    /// Its files are gone.
    #[error(
        "Another program has removed the DAMON worker that moved pages; end it and start again"
    )]
    Removed(#[source] SysfsError),
    /// A file of DAMON cannot be used.
    #[error(transparent)]
    Sysfs(SysfsError),
    /// A pass does not begin.
    #[error("DAMON has not got to its pass within {} s", timeout.as_secs())]
    Timeout {
        /// How long it was waited for.
        timeout: Duration,
    },
}

impl DamonError {
    /// What it means for the run: what is for the machine's owner to change ends it.
    pub fn severity(&self) -> Severity {
        match self {
            DamonError::Timeout { .. } => Severity::Retry,
            DamonError::Sysfs(error) => match error.errno() {
                Some(libc::EBUSY | libc::EAGAIN | libc::EINTR | libc::ENOMEM) => Severity::Retry,
                _ => Severity::Fatal,
            },
            _ => Severity::Fatal,
        }
    }
}

impl From<SysfsError> for DamonError {
    fn from(error: SysfsError) -> DamonError {
        match error.errno() {
            // What the kernel says of files kept open whose folder was removed.
            Some(libc::ENODEV) => DamonError::Removed(error),
            _ => DamonError::Sysfs(error),
        }
    }
}

/// Why there is no DAMON.
pub(crate) fn without_damon(sysfs: &Path) -> Refusal {
    match sysfs.join("kernel").exists() {
        true => Refusal::new(
            "the kernel has no DAMON that programs can set up",
            "build it with CONFIG_DAMON_SYSFS and CONFIG_DAMON_PADDR, or take --actuator \
             move-pages",
        ),
        false => unmounted(sysfs),
    }
}
