// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the device's sensors and counters say, and how bad it is.

use chmu_spec::cxl::event::EventLog;
use chmu_spec::cxl::health::health_info;

/// What is measured, for the alerts to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readings {
    pub(super) temperature_celsius: i16,
    pub(super) life_used_percent: u8,
    /// Corrected errors of the memory since power-on.
    pub(super) corrected_errors: u32,
}

/// How far a reading is from where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Normal,
    Warning,
    Critical,
}

impl Level {
    /// Its 2 bits in the additional status.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Normal => health_info::NORMAL,
            Self::Warning => health_info::WARNING,
            Self::Critical => health_info::CRITICAL,
        }
    }

    /// The log for the record of a change to it.
    pub(super) const fn log(self) -> EventLog {
        match self {
            Self::Normal => EventLog::Informational,
            Self::Warning => EventLog::Warning,
            Self::Critical => EventLog::Failure,
        }
    }
}

/// How bad each of the readings is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Levels {
    pub(super) life_used: Level,
    pub(super) temperature: Level,
    pub(super) corrected_errors: Level,
}
