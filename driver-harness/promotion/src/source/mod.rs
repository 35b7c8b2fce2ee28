// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where hotness comes from.
//!
//! Detection and promotion are separate: whatever finds hot memory hands it out as a [`Report`], and
//! promotion knows nothing else of it.

use std::fmt;

use chmu_driver::device::UnitError;
use chmu_machine::memory::userfaultfd::UserfaultfdError;
use chmu_machine::stop::StopFlag;
use chmu_machine::sysfs_file::SysfsError;

use crate::damon::DamonError;
use crate::report::{Facts, Health, Report, Tunable, Tuning};
use crate::severity::Severity;

mod chmu;
mod damon;
mod groups;
mod hint_faults;
mod list;
mod perf;
pub mod registry;
mod stream;
mod userfaultfd;

pub use chmu::{ChmuSource, Claims, OpenError, ProgrammedUnits};
pub use damon::DamonSource;
pub use list::ListSource;
pub use perf::{AuxError, PerfError, PerfSource};
pub use stream::{StreamError, StreamSource};
pub use userfaultfd::UserfaultfdSource;

/// Something that finds hot memory.
pub trait HotnessSource: fmt::Debug + Send {
    /// What it is, with its settings of now.
    fn facts(&self) -> &Facts;

    /// Waits until it has found hot memory and hands it out; at the latest at `deadline_ns` of the
    /// source's clock or when `stop` is raised, then possibly without any extent.
    ///
    /// From one report to the next, `earliest_access_ns` never goes back.
    fn poll(&mut self, deadline_ns: u64, stop: &StopFlag) -> Result<Report, SourceError>;

    /// What can be adapted about it, with its settings of now; none for a source that is as it is.
    fn tunable(&self) -> Option<Tunable> {
        None
    }

    /// Asks for other settings; returns those that it has now. A source that has no such settings
    /// answers with none.
    fn retune(&mut self, _wish: &Tuning) -> Result<Tuning, SourceError> {
        Ok(Tuning::default())
    }

    /// How it is.
    fn health(&self) -> Health {
        Health::Good
    }
}

/// What a source cannot do.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A hotness monitoring unit failed.
    #[error("Cannot read hot units from {unit}")]
    Unit {
        /// Its name.
        unit: String,
        /// What failed.
        source: Box<UnitError>,
    },
    /// DAMON does not do what it is to.
    #[error(transparent)]
    Damon(#[from] DamonError),
    /// The machine's memory is not told.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
    /// A kernel driver's unit is no source.
    #[error(transparent)]
    Perf(Box<PerfError>),
    /// The kernel does not tell which pages hint faults hit.
    #[error(
        "NUMA hint faults cannot be a source: this kernel {shown}, and tells of none which page it hit; \
         take damon or accessed:PID"
    )]
    HintFaults {
        /// What it shows of them.
        shown: String,
    },
    /// A process does not tell which of its pages are accessed.
    #[error(transparent)]
    Userfaultfd(#[from] UserfaultfdError),
    /// What should be a process's number.
    #[error("{0} is no number of a process; write for example accessed:417")]
    ProcessNumber(String),
    /// There is nothing to find.
    #[error("No node has memory that pages are promoted from; chmu targets says why")]
    NoSlowMemory,
    /// The process does not live.
    #[error("There is no process {process_id}")]
    NoProcess {
        /// Which.
        process_id: u32,
    },
    /// A stream cannot be read, or says what cannot be.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A mistake of this program.
    #[error("The source panicked: {0}; please report this")]
    Panicked(String),
    /// Waiting for the units' interrupts failed.
    #[error("Cannot wait for the interrupts of {unit}")]
    Wait {
        /// The source.
        unit: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl From<PerfError> for SourceError {
    fn from(error: PerfError) -> SourceError {
        SourceError::Perf(Box::new(error))
    }
}

impl SourceError {
    /// What it means for the run: a device that fails is lost, and other sources go on; a stream that is
    /// wrong is for its maker to put right.
    pub fn severity(&self) -> Severity {
        match self {
            SourceError::Damon(error) if error.severity() == Severity::Retry => Severity::Retry,
            SourceError::Stream(_) => Severity::Fatal,
            _ => Severity::Degraded,
        }
    }
}
