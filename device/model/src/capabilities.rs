// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an instance can do.

use chmu_spec::chmu::{Capabilities0, Capabilities1, EpochType};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::RequestFilters;
use chmu_spec::unit_size::{UnitSize, UnitSizes};

const MINIMUM_EPOCH: EpochLength = length(EpochScale::Millisecond, 1);
const MAXIMUM_EPOCH: EpochLength = length(EpochScale::Second, 10);

/// A length whose multiplier is known when this is built.
const fn length(scale: EpochScale, multiplier: u16) -> EpochLength {
    match EpochLength::new(scale, multiplier) {
        Some(length) => length,
        None => panic!("the multiplier lies outside 1 to 4095"),
    }
}

/// What an instance can do; fixed for its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// MSI or MSI-X message number: 0 to 15.
    pub message_number: u8,
    /// The overflow interrupt is supported.
    pub overflow_interrupt: bool,
    /// The fill-level interrupt is supported.
    pub fill_level_interrupt: bool,
    /// Global epochs or an epoch per counter.
    pub epoch_type: EpochType,
    /// Request filters that can be chosen.
    pub trackable_requests: RequestFilters,
    /// The shortest epoch that a driver may set.
    pub minimum_epoch: EpochLength,
    /// The longest epoch that a driver may set.
    pub maximum_epoch: EpochLength,
    /// Entries of the hotlist: 2 to 65535, one of which always stays free.
    pub hotlist_entries: u16,
    /// Unit sizes that can be chosen.
    pub unit_sizes: UnitSizes,
    /// Down-sampling factors that can be chosen: bit n stands for 2^n. Factor 1 is one of them.
    pub down_sampling_factors: u16,
    /// A driver may have units reported at the end of an epoch.
    pub epoch_mode: bool,
    /// A driver may have units reported as soon as they are hot.
    pub always_on_mode: bool,
    /// A driver may have the requests that count chosen at random.
    pub randomised_down_sampling: bool,
    /// The instance may track ranges that another one tracks.
    pub overlapping_ranges: bool,
    /// Hot units that find no room wait for it instead of being lost.
    pub postponed_insertion: bool,
    /// Bits of a counter, by unit size.
    pub counter_widths: CounterWidths,
    /// How long enable, disable and reset take: 10 s at most. Drivers wait 100 ms.
    pub operation_delay_ns: u64,
    /// Seed of the randomised down-sampling.
    pub seed: u64,
}

impl Default for Capabilities {
    /// Everything that the register map knows, with global epochs of 1 ms to 10 s, units of 4 KiB
    /// to 2 MiB and a hotlist of 2048 entries.
    fn default() -> Self {
        Self {
            message_number: 0,
            overflow_interrupt: true,
            fill_level_interrupt: true,
            epoch_type: EpochType::Global,
            trackable_requests: RequestFilters::EVERY,
            minimum_epoch: MINIMUM_EPOCH,
            maximum_epoch: MAXIMUM_EPOCH,
            hotlist_entries: 2048,
            unit_sizes: UnitSize::all()
                .filter(|size| (12..=21).contains(&size.log2_bytes()))
                .collect(),
            down_sampling_factors: u16::MAX,
            epoch_mode: true,
            always_on_mode: true,
            randomised_down_sampling: true,
            overlapping_ranges: true,
            postponed_insertion: false,
            counter_widths: CounterWidths::uniform(16),
            operation_delay_ns: 0,
            seed: 0,
        }
    }
}

impl Capabilities {
    /// The first capability register.
    pub(crate) fn register_0(&self) -> u64 {
        Capabilities0::new()
            .with_message_number(self.message_number & 0xf)
            .with_overflow_interrupt(self.overflow_interrupt)
            .with_fill_level_interrupt(self.fill_level_interrupt)
            .with_epoch_type_code(self.epoch_type.code())
            .with_trackable_requests(self.trackable_requests.bits())
            .with_maximum_epoch_scale(self.maximum_epoch.scale().code())
            .with_maximum_epoch_multiplier(self.maximum_epoch.multiplier())
            .with_minimum_epoch_scale(self.minimum_epoch.scale().code())
            .with_minimum_epoch_multiplier(self.minimum_epoch.multiplier())
            .with_hotlist_entries(self.hotlist_entries)
            .into_bits()
    }

    /// The second capability register.
    pub(crate) fn register_1(&self) -> u64 {
        Capabilities1::new()
            .with_unit_sizes(self.unit_sizes.bits())
            .with_down_sampling_factors(self.down_sampling_factors)
            .with_epoch_mode(self.epoch_mode)
            .with_always_on_mode(self.always_on_mode)
            .with_randomised_down_sampling(self.randomised_down_sampling)
            .with_overlapping_ranges(self.overlapping_ranges)
            .with_postponed_insertion(self.postponed_insertion)
            .into_bits()
    }
}

/// Bits of a counter, by unit size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterWidths {
    uniform: u8,
    exceptions: Vec<(UnitSize, u8)>,
}

impl CounterWidths {
    /// The same width, 1 to 32 bits, for all unit sizes.
    pub const fn uniform(width: u8) -> Self {
        Self {
            uniform: width,
            exceptions: Vec::new(),
        }
    }

    /// Gives one unit size another width.
    #[must_use]
    pub fn with(mut self, size: UnitSize, width: u8) -> Self {
        self.exceptions.push((size, width));
        self
    }

    /// The width for a unit size.
    pub fn of(&self, size: UnitSize) -> u8 {
        let exception = self.exceptions.iter().rfind(|(other, _)| *other == size);
        exception.map_or(self.uniform, |(_, width)| *width)
    }

    /// The widths of all unit sizes lie in 1 to 32 bits.
    pub(crate) fn is_valid(&self) -> bool {
        let widths = self.exceptions.iter().map(|(_, width)| *width);
        widths
            .chain([self.uniform])
            .all(|width| (1..=32).contains(&width))
    }
}
