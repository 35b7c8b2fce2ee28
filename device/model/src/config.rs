// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a block is made of.

use chmu_spec::address::Dpa;
use chmu_spec::hotlist::Entry;
use chmu_spec::unit_size::UnitSize;

use crate::capabilities::Capabilities;
use crate::quirk::QuirkSet;

/// A hundred times what drivers wait.
const LONGEST_OPERATION_NS: u64 = 10_000_000_000;

/// What a block is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockConfig {
    /// Bytes of the device's memory: device physical addresses run from 0 to here.
    pub capacity_bytes: u64,
    /// The instances: 1 to 255.
    pub instances: Vec<Capabilities>,
    /// The rules that the block breaks, for tests of drivers and of conformance suites.
    pub quirks: QuirkSet,
}

/// A configuration that no block can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No instance, or more than the header can count.
    #[error("A CHMU block has 1 to 255 instances, not {0}")]
    Instances(usize),
    /// The device's memory is empty, or its range bitmap does not fit the register page.
    #[error("A CHMU tracks up to {maximum} bytes of memory, and at least one, not {capacity}")]
    Capacity {
        /// Bytes of memory that were asked for.
        capacity: u64,
        /// The most that the range bitmap can cover.
        maximum: u64,
    },
    /// A hotlist without room for an entry.
    #[error("A hotlist has 2 to 65535 entries, not {0}")]
    HotlistEntries(u16),
    /// A counter too narrow or too wide.
    #[error("A counter has 1 to 32 bits")]
    CounterWidth,
    /// An entry without room for the highest unit beside the count.
    #[error(
        "A counter of {counter_width} bits leaves no room in an entry for the number of a unit of \
         {unit_size} in so much memory"
    )]
    UnitIndex {
        /// The smallest unit size with such counters.
        unit_size: UnitSize,
        /// Bits of the counters for that unit size.
        counter_width: u8,
    },
    /// A message number that the capability register cannot hold.
    #[error("A CHMU's interrupt message number is 0 to 15, not {0}")]
    MessageNumber(u8),
    /// No unit size at all.
    #[error("A CHMU supports at least one unit size")]
    UnitSizes,
    /// The instance can track no kind of request.
    #[error("A CHMU can track at least one kind of request")]
    TrackableRequests,
    /// The instance has neither epoch nor always-on mode.
    #[error("A CHMU has epoch mode, always-on mode or both")]
    Modes,
    /// The shortest epoch is longer than the longest.
    #[error("The minimum epoch is longer than the maximum epoch")]
    Epochs,
    /// No down-sampling factor can be chosen.
    #[error("A CHMU supports at least one down-sampling factor; 1 counts every request")]
    DownSampling,
    /// Operations that take longer than anybody waits.
    #[error("Enable, disable and reset take 10 s at most, not {0} ns; drivers wait 100 ms")]
    OperationDelay(u64),
}

impl Capabilities {
    /// Checks what the types leave open.
    pub(crate) fn check(&self, capacity_bytes: u64) -> Result<(), ConfigError> {
        let rules = [
            (
                self.hotlist_entries >= 2,
                ConfigError::HotlistEntries(self.hotlist_entries),
            ),
            (self.counter_widths.is_valid(), ConfigError::CounterWidth),
            (
                self.message_number <= 15,
                ConfigError::MessageNumber(self.message_number),
            ),
            (!self.unit_sizes.is_empty(), ConfigError::UnitSizes),
            (
                self.trackable_requests.bits() != 0,
                ConfigError::TrackableRequests,
            ),
            (self.epoch_mode || self.always_on_mode, ConfigError::Modes),
            (
                self.minimum_epoch.nanoseconds() <= self.maximum_epoch.nanoseconds(),
                ConfigError::Epochs,
            ),
            (self.down_sampling_factors != 0, ConfigError::DownSampling),
            (
                self.operation_delay_ns <= LONGEST_OPERATION_NS,
                ConfigError::OperationDelay(self.operation_delay_ns),
            ),
        ];
        if let Some((_, error)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(error);
        }
        match self.unit_size_without_room(capacity_bytes) {
            Some(unit_size) => Err(ConfigError::UnitIndex {
                unit_size,
                counter_width: self.counter_widths.of(unit_size),
            }),
            None => Ok(()),
        }
    }

    /// The unit size whose highest unit does not fit an entry.
    fn unit_size_without_room(&self, capacity_bytes: u64) -> Option<UnitSize> {
        let last_byte = Dpa(capacity_bytes.saturating_sub(1));
        self.unit_sizes.iter().find(|size| {
            let entry = Entry {
                unit: size.index_of(last_byte),
                count: 0,
            };
            let width = self.counter_widths.of(*size);
            Entry::decode(entry.encode(width), width) != entry
        })
    }
}
