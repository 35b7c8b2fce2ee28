// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a unit is configured to do, does and did.

use std::time::Duration;

use chmu_spec::chmu::{Configuration0, Configuration1, Configuration2, Status};

/// How long the driver waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the end of an enable, disable or reset.
    pub operation: Duration,
}

impl Default for Limits {
    /// What the public drivers wait.
    fn default() -> Self {
        Limits {
            operation: Duration::from_millis(100),
        }
    }
}

/// What a unit is configured to do, as its registers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration {
    /// Requests, interrupts, enable and threshold.
    pub first: Configuration0,
    /// Unit size, down-sampling, mode and epoch.
    pub second: Configuration1,
    /// Fill-level threshold.
    pub third: Configuration2,
}

/// What a unit does, as its registers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Status.
    pub status: Status,
    /// Index of the oldest entry; unchecked.
    pub head: u16,
    /// Index after the newest entry; unchecked.
    pub tail: u16,
}

/// What one reading of the hotlist found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Entries read.
    pub entries: u16,
    /// The unit lost hot units since the last reading.
    pub overflow: bool,
    /// The list was above its fill level.
    pub fill_level: bool,
}

/// What a driver read from its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct UnitStatistics {
    /// Times the hotlist was read.
    pub drains: u64,
    /// Entries read.
    pub entries: u64,
    /// Times the overflow status was found set.
    pub overflows: u64,
    /// Times the fill-level status was found set.
    pub fill_levels: u64,
    /// Interrupt messages that came.
    pub interrupts: u64,
}
