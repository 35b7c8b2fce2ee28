// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `[[block.instance]]`: what one CHMU instance can do.

use chmu_model::Capabilities;
use chmu_spec::chmu::EpochType;
use serde::{Deserialize, Serialize};

use super::number::within;
use super::quantity::Nanoseconds;
use super::values::{Epoch, EpochKind, Factor, Requests, Unit};
use super::widths::Widths;

/// The keys of `[[block.instance]]`, which are the fields of [`Capabilities`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceTable {
    /// MSI or MSI-X message number. Left out, the instances get 1, 2, and so on.
    #[serde(deserialize_with = "message_number")]
    pub message_number: Option<u8>,
    /// The overflow interrupt is supported. Left out, it is where the device can interrupt.
    pub overflow_interrupt: Option<bool>,
    /// The fill-level interrupt is supported. Left out, it is where the device can interrupt.
    pub fill_level_interrupt: Option<bool>,
    /// Global epochs or an epoch per counter.
    pub epoch_type: EpochKind,
    /// Request filters that can be chosen.
    pub trackable_requests: Vec<Requests>,
    /// The shortest epoch that a driver may set.
    pub minimum_epoch: Epoch,
    /// The longest epoch that a driver may set.
    pub maximum_epoch: Epoch,
    /// Entries that the hotlist has, of which one stays empty.
    #[serde(deserialize_with = "within::<_, _, 2, 65535>")]
    pub hotlist_entries: u16,
    /// Unit sizes that can be chosen.
    pub unit_sizes: Vec<Unit>,
    /// Down-sampling factors that can be chosen.
    pub down_sampling_factors: Vec<Factor>,
    /// A driver may have units reported at the end of an epoch.
    pub epoch_mode: bool,
    /// A driver may have units reported as soon as they are hot.
    pub always_on_mode: bool,
    /// A driver may have the requests that count chosen at random.
    pub randomised_down_sampling: bool,
    /// The instance may track ranges that another one tracks.
    pub overlapping_ranges: bool,
    /// Hot units that find no room wait for it.
    pub postponed_insertion: bool,
    /// How long enable, disable and reset take.
    pub operation_delay: Nanoseconds,
    /// Seed of the randomised down-sampling.
    #[serde(deserialize_with = "within::<_, _, 0, { i64::MAX }>")]
    pub seed: u64,
    /// Bits of the counters, 1 to 32, by unit size.
    pub counter_widths: Widths,
}

fn message_number<'de, D>(deserializer: D) -> Result<Option<u8>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    within::<_, _, 0, 15>(deserializer).map(Some)
}

impl Default for InstanceTable {
    fn default() -> Self {
        let model = Self::from(&Capabilities::default());
        Self {
            message_number: None,
            overflow_interrupt: None,
            fill_level_interrupt: None,
            ..model
        }
    }
}

impl From<&Capabilities> for InstanceTable {
    fn from(model: &Capabilities) -> Self {
        Self {
            message_number: Some(model.message_number),
            overflow_interrupt: Some(model.overflow_interrupt),
            fill_level_interrupt: Some(model.fill_level_interrupt),
            epoch_type: match model.epoch_type {
                EpochType::Global => EpochKind::Global,
                EpochType::PerCounter => EpochKind::PerCounter,
            },
            trackable_requests: model.trackable_requests.iter().map(Requests).collect(),
            minimum_epoch: Epoch(model.minimum_epoch),
            maximum_epoch: Epoch(model.maximum_epoch),
            hotlist_entries: model.hotlist_entries,
            unit_sizes: model.unit_sizes.iter().map(Unit).collect(),
            down_sampling_factors: Factor::from_bits(model.down_sampling_factors),
            epoch_mode: model.epoch_mode,
            always_on_mode: model.always_on_mode,
            randomised_down_sampling: model.randomised_down_sampling,
            overlapping_ranges: model.overlapping_ranges,
            postponed_insertion: model.postponed_insertion,
            operation_delay: Nanoseconds(model.operation_delay_ns),
            seed: model.seed,
            counter_widths: Widths::from(&model.counter_widths),
        }
    }
}

impl InstanceTable {
    /// Fills in what depends on the device: `interrupts` says whether it has any.
    pub fn complete(&mut self, message_number: u8, interrupts: bool) {
        self.message_number.get_or_insert(message_number);
        self.overflow_interrupt.get_or_insert(interrupts);
        self.fill_level_interrupt.get_or_insert(interrupts);
    }

    /// The capabilities that the model takes.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            message_number: self.message_number.unwrap_or_default(),
            overflow_interrupt: self.overflow_interrupt.unwrap_or_default(),
            fill_level_interrupt: self.fill_level_interrupt.unwrap_or_default(),
            epoch_type: match self.epoch_type {
                EpochKind::Global => EpochType::Global,
                EpochKind::PerCounter => EpochType::PerCounter,
            },
            trackable_requests: self
                .trackable_requests
                .iter()
                .map(|requests| requests.0)
                .collect(),
            minimum_epoch: self.minimum_epoch.0,
            maximum_epoch: self.maximum_epoch.0,
            hotlist_entries: self.hotlist_entries,
            unit_sizes: self.unit_sizes.iter().map(|unit| unit.0).collect(),
            down_sampling_factors: self
                .down_sampling_factors
                .iter()
                .fold(0, |bits, factor| bits | factor.bit()),
            epoch_mode: self.epoch_mode,
            always_on_mode: self.always_on_mode,
            randomised_down_sampling: self.randomised_down_sampling,
            overlapping_ranges: self.overlapping_ranges,
            postponed_insertion: self.postponed_insertion,
            counter_widths: self.counter_widths.to_model(),
            operation_delay_ns: self.operation_delay.0,
            seed: self.seed,
        }
    }
}
