// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From registers to what is listed.

use chmu_spec::chmu::{EpochType, Mode};
use chmu_spec::epoch::EpochLength;
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

use super::{ListedCapabilities, ListedConfiguration, ListedStatus};
use crate::device::{Configuration, Instance, State};

impl From<&Instance> for ListedCapabilities {
    fn from(instance: &Instance) -> Self {
        let capabilities = &instance.capabilities;
        Self {
            message_number: capabilities.message_number,
            overflow_interrupt: capabilities.overflow_interrupt,
            fill_level_interrupt: capabilities.fill_level_interrupt,
            epoch_type: capabilities.epoch_type.map(EpochType::name),
            requests: capabilities
                .trackable_requests
                .iter()
                .map(RequestFilter::name)
                .collect(),
            minimum_epoch_ns: capabilities.minimum_epoch.map(EpochLength::nanoseconds),
            maximum_epoch_ns: capabilities.maximum_epoch.map(EpochLength::nanoseconds),
            hotlist_entries: capabilities.hotlist_entries,
            unit_sizes: capabilities
                .unit_sizes
                .iter()
                .map(UnitSize::bytes)
                .collect(),
            down_sampling_factors: capabilities
                .down_sampling_log2()
                .map(|log2| 1 << log2)
                .collect(),
            modes: capabilities.modes().map(Mode::name).collect(),
            randomised_down_sampling: capabilities.randomised_down_sampling,
            overlapping_ranges: capabilities.overlapping_ranges,
            postponed_insertion: capabilities.postponed_insertion,
            range_bitmap_offset: instance.range_bitmap_offset,
            hotlist_offset: instance.hotlist_offset,
        }
    }
}

impl From<Configuration> for ListedConfiguration {
    fn from(configuration: Configuration) -> Self {
        let Configuration {
            first,
            second,
            third,
        } = configuration;
        Self {
            unit_size: second.unit_size().map(UnitSize::bytes),
            hotness_threshold: first.hotness_threshold(),
            requests: RequestFilter::from_code(first.request_code()).map(RequestFilter::name),
            mode: second.mode().map(Mode::name),
            epoch_ns: second.epoch().map(EpochLength::nanoseconds),
            down_sampling_factor: 1 << second.down_sampling_log2(),
            randomised_down_sampling: first.randomise_down_sampling(),
            overflow_interrupt: first.overflow_interrupt(),
            fill_level_interrupt: first.fill_level_interrupt(),
            fill_level_threshold: third.fill_level_threshold(),
        }
    }
}

impl From<State> for ListedStatus {
    fn from(state: State) -> Self {
        Self {
            enabled: state.status.enabled(),
            operation_in_progress: state.status.operation_code(),
            counter_width: state.status.counter_width(),
            overflow: state.status.overflow(),
            fill_level: state.status.fill_level(),
            hotlist_head: state.head,
            hotlist_tail: state.tail,
        }
    }
}
