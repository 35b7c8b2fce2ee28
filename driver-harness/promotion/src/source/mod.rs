// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where hotness comes from.
//!
//! Detection and promotion are separate: whatever finds hot memory hands it out as a [`Batch`] of
//! host physical pages, and promotion knows nothing else of it.

use std::fmt;
use std::time::Duration;

use chmu_driver::device::UnitError;
use chmu_driver::translation::HpaRange;
use chmu_spec::address::Dpa;

mod chmu;

pub use chmu::{ChmuSource, OpenError, ProgrammedUnits};

/// Something that finds hot memory.
pub trait HotnessSource: fmt::Debug {
    /// The source as users name it, for example `cxl_hmu_mem0.0.0`.
    fn name(&self) -> &str;

    /// Waits until the source has found hot memory and hands it out, at the latest after `timeout`,
    /// then possibly without any unit.
    fn next_batch(&mut self, timeout: Duration) -> Result<Batch, SourceError>;
}

/// What a source found since it was last asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// When it was handed out, on the kernel's monotonic clock.
    pub time: Duration,
    /// The hot units, in the order in which the source reported them.
    pub units: Vec<HotUnit>,
    /// The source found more than it could report.
    pub lost_units: bool,
    /// Units that lie in no page of the host.
    pub unmapped_units: u64,
}

/// A hot unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotUnit {
    /// The pages that hold it, ascending; neither empty nor overlapping.
    pub ranges: Vec<HpaRange>,
    /// How often it was accessed, in the source's own measure: comparable within one source only.
    pub count: u64,
    /// The unit's place in the device; none for a source that is no device.
    pub dpa: Option<Dpa>,
    /// Which of the source's members found it, in the order of the source's name.
    pub member: usize,
}

/// A source that cannot go on.
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
    /// Waiting for the units' interrupts failed.
    #[error("Cannot wait for the interrupts of {unit}")]
    Wait {
        /// The source.
        unit: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}
