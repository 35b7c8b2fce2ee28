// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What happens inside a block, for logs and tests.

use std::fmt;

use chmu_spec::epoch::EpochLength;
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

/// Something that happened in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An instance began to count.
    Enabled {
        /// The instance's number in its block, from 0.
        instance: u8,
        /// The unit size that it counts by.
        unit_size: UnitSize,
        /// The count from which a unit is hot.
        threshold: u64,
        /// Its epoch; none in always-on mode.
        epoch: Option<EpochLength>,
    },
    /// An instance stopped counting, as its driver asked.
    Disabled {
        /// The instance's number in its block, from 0.
        instance: u8,
    },
    /// An instance was reset by its driver.
    Reset {
        /// The instance's number in its block, from 0.
        instance: u8,
    },
    /// A driver asked for a configuration that the instance does not have.
    Refused {
        /// The instance's number in its block, from 0.
        instance: u8,
        /// What is wrong with its configuration.
        refusal: Refusal,
    },
    /// Requests went uncounted, for the first time since the enable, because there was no memory
    /// for their counters.
    OutOfCounters {
        /// The instance's number in its block, from 0.
        instance: u8,
    },
    /// A global epoch ended in which units were accessed.
    EpochClosed {
        /// The instance's number in its block, from 0.
        instance: u8,
        /// Units at or above the threshold.
        hot_units: u64,
        /// Hot units that found no room.
        dropped_units: u64,
        /// Epochs that ended together with it, since nobody looked in between; what was accessed
        /// in them counts for this one.
        merged_epochs: u64,
    },
    /// A driver did what a driver should not do.
    Fault {
        /// Which instance; none in the block header.
        instance: Option<u8>,
        /// What the driver did wrong.
        fault: Fault,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled {
                instance,
                unit_size,
                threshold,
                epoch,
            } => {
                write!(
                    f,
                    "instance {instance} counts units of {unit_size}, hot from {threshold} on, "
                )?;
                match epoch {
                    Some(epoch) => write!(f, "in epochs of {epoch}"),
                    None => f.write_str("always on"),
                }
            }
            Self::Disabled { instance } => write!(f, "instance {instance} is disabled"),
            Self::Reset { instance } => write!(f, "instance {instance} is reset"),
            Self::Refused { instance, refusal } => {
                write!(f, "instance {instance} refuses to be enabled: {refusal}")
            }
            Self::OutOfCounters { instance } => write!(
                f,
                "instance {instance} has no memory for more counters; requests to other units go \
                 uncounted"
            ),
            Self::EpochClosed {
                instance,
                hot_units,
                dropped_units,
                ..
            } => write!(
                f,
                "instance {instance} closes an epoch with {hot_units} hot units, \
                 {dropped_units} without room"
            ),
            Self::Fault {
                instance: Some(instance),
                fault,
            } => write!(f, "instance {instance}: the driver {fault}"),
            Self::Fault {
                instance: None,
                fault,
            } => write!(f, "the driver {fault}"),
        }
    }
}

/// Why an instance is not enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request code is reserved.
    #[error("request code {0} is reserved; 1 to 6 are defined")]
    RequestCode(u8),
    /// The capabilities do not list the filter.
    #[error("requests of kind {} are not trackable here", .0.name())]
    RequestFilter(RequestFilter),
    /// The unit size is not in the capabilities.
    #[error("unit size 2^{0} is not supported")]
    UnitSize(u32),
    /// The mode is reserved or not in the capabilities.
    #[error("mode {0} is not supported")]
    Mode(u8),
    /// The epoch's codes are reserved or zero.
    #[error("an epoch of scale {scale} and multiplier {multiplier} is no length")]
    EpochCodes {
        /// Code of the epoch's scale as it was written.
        scale: u8,
        /// Multiplier of the epoch as it was written.
        multiplier: u16,
    },
    /// The epoch is shorter or longer than the capabilities allow.
    #[error("an epoch of {0} is outside of what the capabilities allow")]
    EpochLength(EpochLength),
    /// The down-sampling factor is not in the capabilities.
    #[error("down-sampling factor 2^{0} is not supported")]
    DownSampling(u8),
    /// The capabilities have no randomised down-sampling.
    #[error("randomised down-sampling is not supported")]
    RandomisedDownSampling,
    /// The threshold is above the largest count.
    #[error("hotness threshold {threshold} does not fit a counter of {counter_width} bits")]
    Threshold {
        /// The hotness threshold as it was written.
        threshold: u32,
        /// Bits of a counter, which the threshold has to fit.
        counter_width: u8,
    },
    /// The capabilities have no overflow interrupt.
    #[error("the overflow interrupt is not supported")]
    OverflowInterrupt,
    /// The capabilities have no fill-level interrupt.
    #[error("the fill-level interrupt is not supported")]
    FillLevelInterrupt,
    /// There is no memory for the counters.
    #[error("there is no memory for the counters of {units} units")]
    Memory {
        /// Units of the device's memory.
        units: u64,
    },
    /// Another enabled instance tracks a part of the range.
    #[error("another instance tracks the same range, and overlapping ranges are not supported")]
    OverlappingRange,
}

/// What a driver did that it should not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An access that is not 1, 2, 4 or 8 bytes, or not aligned to its size.
    Access {
        /// Offset from the start of the block.
        offset: u64,
        /// Bytes of the access.
        bytes: usize,
    },
    /// A write to configuration or range bitmap of an instance that is enabled or busy.
    Locked {
        /// Offset from the start of the instance.
        offset: u64,
    },
    /// A new head that is no index of the list, or lies past the tail.
    Head {
        /// The head that was written.
        head: u16,
        /// The head that stays in force.
        kept: u16,
        /// The tail at that moment.
        tail: u16,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access { offset, bytes } => write!(
                f,
                "accesses {bytes} bytes at {offset:#x}; 1, 2, 4 or 8 aligned bytes are expected"
            ),
            Self::Locked { offset } => write!(
                f,
                "writes at {offset:#x} while the instance is enabled or busy; the write is ignored"
            ),
            Self::Head { head, kept, tail } => write!(
                f,
                "moves the head to {head}, which is not between head {kept} and tail {tail}; \
                 the write is ignored"
            ),
        }
    }
}
