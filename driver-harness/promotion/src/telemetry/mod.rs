// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What fast memory tells of itself: which of its pages nobody uses.
//!
//! Sources watch slow memory. To make room on a fast node, and to tell whether a promotion was of use,
//! somebody has to watch the fast one. That is asked for rarely, and each question takes seconds: whoever
//! answers has a thread of its own.

use std::fmt;
use std::io;

use chmu_machine::stop::StopFlag;
use chmu_machine::sysfs_file::SysfsError;
use chmu_spec::address::Pfn;

use crate::damon::DamonError;
use crate::severity::Severity;

mod damon;
mod witness;

pub use damon::DamonTelemetry;

/// Watches fast memory.
pub trait Telemetry: fmt::Debug + Send {
    /// The name by which the ledger calls it.
    fn name(&self) -> &'static str;

    /// Most frames that it watches at a time.
    fn frames_max(&self) -> usize;

    /// Watches frames, each for itself, from the call on until one that nobody uses was idle for as long as
    /// is asked.
    ///
    /// # Errors
    /// When nothing can be told, or `stop` was raised.
    fn watch(&mut self, watch: &Watch, stop: &StopFlag) -> Result<Watched, TelemetryError>;
}

/// What is to be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Frames, ascending; no two of them are neighbours.
    pub frames: Vec<Pfn>,
    /// A frame is idle when it had no access for at least so long.
    pub idle_ns: u64,
}

/// What was seen of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Whether each was accessed, or may have been, in the order in which they were named.
    pub accessed: Vec<bool>,
    /// Those that were not had no access for so long,
    pub idle_ns: u64,
    /// until this time at least.
    pub until_ns: u64,
}

/// Why fast memory tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// DAMON does not do what it is to.
    #[error(transparent)]
    Damon(#[from] DamonError),
    /// The machine's memory is not told.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
    /// Processors keep their translations, so that accesses would not be seen.
    #[error("Accesses to fast memory would not be seen")]
    Translations(#[source] io::Error),
    /// No node has slower memory below it.
    #[error("No node has memory that pages are demoted from; chmu targets lists the tiers")]
    NoFastMemory,
    /// The run ends.
    #[error("The run ended before fast memory was watched for long enough")]
    Stopped,
    /// A mistake of this program.
    #[error("The telemetry of fast memory panicked: {0}; please report this")]
    Panicked(String),
}

impl TelemetryError {
    /// What it means: without telemetry a run goes on.
    pub fn severity(&self) -> Severity {
        match self {
            TelemetryError::Stopped => Severity::Retry,
            TelemetryError::Damon(error) if error.severity() == Severity::Retry => Severity::Retry,
            _ => Severity::Degraded,
        }
    }
}
