// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What goes wrong while a unit is driven.

use std::time::Duration;

use super::settings::SettingsError;
use crate::transport::TransportError;

/// A unit that does not do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// A register cannot be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The wishes do not fit the capabilities.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Every bit of a register reads as one, or of several as zero.
    #[error("The device does not answer any more: its registers read as if there were none")]
    Gone,
    /// An operation did not end.
    #[error(
        "The unit did not {operation} within {limit:?}; its status reads as {status:#x}, \
         configuration 0 as {configuration:#x}"
    )]
    Timeout {
        /// Which operation.
        operation: &'static str,
        /// How long was waited.
        limit: Duration,
        /// The status register.
        status: u64,
        /// The first configuration register.
        configuration: u64,
    },
    /// A register does not keep what is written.
    #[error("{register} reads back as {read:#x} after {written:#x} was written")]
    NotKept {
        /// Which register.
        register: &'static str,
        /// What was written.
        written: u64,
        /// What it reads as.
        read: u64,
    },
    /// A range cannot be tracked.
    #[error(
        "The range bitmap at {bitmap:#x} has no room for device memory up to {end:#x}; \
         {follows} follows at {limit:#x}"
    )]
    RangeBitmap {
        /// Where the bitmap starts.
        bitmap: u64,
        /// End of the memory to track.
        end: u64,
        /// What lies behind the bitmap.
        follows: &'static str,
        /// Where that starts.
        limit: u64,
    },
    /// The counters are too narrow.
    #[error(
        "A hotness threshold of {threshold} does not fit counters of {counter_width} bits, \
         which the unit has for units of this size"
    )]
    Threshold {
        /// The threshold.
        threshold: u32,
        /// Bits of a counter.
        counter_width: u8,
    },
    /// The counter width makes no sense.
    #[error("The status names a counter width of {0} bits; 1 to 63 leave room in an entry")]
    CounterWidth(u8),
    /// An index of the hotlist is none.
    #[error("The hotlist's {name} is {index}, but the list has {entries} entries")]
    Index {
        /// Head or tail.
        name: &'static str,
        /// Its value.
        index: u16,
        /// Size of the list.
        entries: u16,
    },
    /// The unit stopped counting although nobody asked it to.
    #[error("The unit is disabled although it was enabled; something else drives or reset it")]
    Stopped,
    /// The unit was not programmed yet.
    #[error("The unit was not programmed yet")]
    NotProgrammed,
}
