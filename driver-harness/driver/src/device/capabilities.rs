// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an instance says it can do.

use chmu_spec::chmu::{Capabilities0, Capabilities1, EpochType, Mode};
use chmu_spec::epoch::EpochLength;
use chmu_spec::request::RequestFilters;
use chmu_spec::unit_size::UnitSizes;

/// What an instance says it can do; fields that hold reserved codes are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// MSI or MSI-X message number: 0 to 15.
    pub message_number: u8,
    /// The overflow interrupt is supported.
    pub overflow_interrupt: bool,
    /// The fill-level interrupt is supported.
    pub fill_level_interrupt: bool,
    /// Global epochs or an epoch per counter.
    pub epoch_type: Option<EpochType>,
    /// Request filters that can be chosen.
    pub trackable_requests: RequestFilters,
    /// Shortest epoch.
    pub minimum_epoch: Option<EpochLength>,
    /// Longest epoch.
    pub maximum_epoch: Option<EpochLength>,
    /// Entries of the hotlist.
    pub hotlist_entries: u16,
    /// Unit sizes that can be chosen.
    pub unit_sizes: UnitSizes,
    /// Down-sampling factors that can be chosen: bit n stands for 2^n.
    pub down_sampling_factors: u16,
    /// Epoch mode is supported.
    pub epoch_mode: bool,
    /// Always-on mode is supported.
    pub always_on_mode: bool,
    /// Randomised down-sampling is supported.
    pub randomised_down_sampling: bool,
    /// Instances may track overlapping ranges.
    pub overlapping_ranges: bool,
    /// Hot units that find no room wait for it instead of being lost.
    pub postponed_insertion: bool,
}

impl Capabilities {
    /// Decodes the two capability registers.
    pub fn decode(first: Capabilities0, second: Capabilities1) -> Capabilities {
        Capabilities {
            message_number: first.message_number(),
            overflow_interrupt: first.overflow_interrupt(),
            fill_level_interrupt: first.fill_level_interrupt(),
            epoch_type: first.epoch_type(),
            trackable_requests: RequestFilters::from_bits(first.trackable_requests()),
            minimum_epoch: first.minimum_epoch(),
            maximum_epoch: first.maximum_epoch(),
            hotlist_entries: first.hotlist_entries(),
            unit_sizes: UnitSizes::from_bits(second.unit_sizes()),
            down_sampling_factors: second.down_sampling_factors(),
            epoch_mode: second.epoch_mode(),
            always_on_mode: second.always_on_mode(),
            randomised_down_sampling: second.randomised_down_sampling(),
            overlapping_ranges: second.overlapping_ranges(),
            postponed_insertion: second.postponed_insertion(),
        }
    }

    /// The modes that can be chosen.
    pub fn modes(&self) -> impl Iterator<Item = Mode> {
        let supported = [
            (Mode::Epoch, self.epoch_mode),
            (Mode::AlwaysOn, self.always_on_mode),
        ];
        supported
            .into_iter()
            .filter_map(|(mode, supported)| supported.then_some(mode))
    }

    /// Logarithms of the down-sampling factors that can be chosen, smallest first.
    pub fn down_sampling_log2(&self) -> impl Iterator<Item = u8> {
        let factors = self.down_sampling_factors;
        (0..16).filter(move |log2| factors & 1 << log2 != 0)
    }
}
