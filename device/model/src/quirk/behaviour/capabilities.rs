// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Broken headers, capabilities and states after power-on.

use chmu_spec::chmu::{
    BlockHeader, Capabilities1, EpochType, INSTANCE_REGISTERS_BYTES, InstanceLength,
};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::RequestFilters;
use chmu_spec::unit_size::UnitSizes;

use crate::behaviour::Behaviour;
use crate::quirk::Quirk;

/// How long a slow operation takes.
const SECOND_NS: u64 = 1_000_000_000;

/// How long operations take at least whose course is the quirk.
const VISIBLE_OPERATION_NS: u64 = 5_000_000;

impl Behaviour {
    pub(super) fn break_header(&mut self, quirk: Quirk) {
        let header = &mut self.header;
        match quirk {
            Quirk::HeaderVersionZero => header.header = |header| header.with_version(0),
            Quirk::HeaderInstancesOneMore => {
                header.header =
                    |header| header.with_instances(header.instances().saturating_add(1));
            }
            Quirk::HeaderReservedBits => {
                header.header =
                    |header| BlockHeader::from_bits(header.into_bits() | 0xffff_ffff_0000_00f0);
            }
            Quirk::HeaderLengthOfRegisters => {
                header.instance_length = |_| InstanceLength::from_bits(INSTANCE_REGISTERS_BYTES);
            }
            _ => {}
        }
    }

    pub(super) fn break_capabilities(&mut self, quirk: Quirk) {
        let read = &mut self.capabilities;
        match quirk {
            Quirk::HotlistSizeOneMore => {
                read.register_0
                    .add(|one| one.with_hotlist_entries(one.hotlist_entries().saturating_add(1)));
            }
            Quirk::HotlistSizeOneLess => {
                read.register_0
                    .add(|one| one.with_hotlist_entries(one.hotlist_entries().saturating_sub(1)));
            }
            Quirk::EpochScaleFromZero => {
                read.register_0.add(|one| {
                    one.with_minimum_epoch_scale(one.minimum_epoch_scale().saturating_sub(1))
                        .with_maximum_epoch_scale(one.maximum_epoch_scale().saturating_sub(1))
                });
            }
            Quirk::EpochBoundsSwapped => {
                read.register_0.add(|one| {
                    one.with_minimum_epoch_scale(one.maximum_epoch_scale())
                        .with_minimum_epoch_multiplier(one.maximum_epoch_multiplier())
                        .with_maximum_epoch_scale(one.minimum_epoch_scale())
                        .with_maximum_epoch_multiplier(one.minimum_epoch_multiplier())
                });
            }
            Quirk::TrackableRequestsShifted => {
                read.register_0
                    .add(|one| one.with_trackable_requests(one.trackable_requests() << 1));
            }
            Quirk::CapabilityReservedBits => {
                read.register_1
                    .add(|one| Capabilities1::from_bits(one.into_bits() | 0xffe0_0000_0000_0000));
            }
            Quirk::UnitSizesShifted => {
                read.register_1
                    .add(|one| one.with_unit_sizes(one.unit_sizes() << 1));
            }
            Quirk::DownSamplingFactorsShifted => {
                read.register_1
                    .add(|one| one.with_down_sampling_factors(one.down_sampling_factors() << 1));
            }
            Quirk::RangeOffsetFromBlock => {
                read.range_bitmap = |place| place.range_bitmap.saturating_add(place.start);
            }
            Quirk::HotlistOffsetFromBlock => read.hotlist = |place| place.hotlist,
            Quirk::CounterWidthOneMore => {
                read.counter_width = |width| match width {
                    0 => 0,
                    width => width.saturating_add(1),
                };
            }
            Quirk::CounterWidthNever => read.counter_width = |_| 0,
            _ => {}
        }
    }

    pub(super) fn break_real_capabilities(&mut self, quirk: Quirk) {
        let real = &mut self.capabilities.real;
        match quirk {
            Quirk::UnitSizeRefused => {
                real.add(|one| {
                    let largest = one.unit_sizes.iter().last();
                    let others = one.unit_sizes.iter().filter(|size| Some(*size) != largest);
                    one.unit_sizes = others.collect();
                });
            }
            Quirk::AcceptsUntrackableRequest => {
                real.add(|one| one.trackable_requests = RequestFilters::EVERY);
            }
            Quirk::AcceptsUnitSize => {
                real.add(|one| one.unit_sizes = UnitSizes::from_bits(u32::MAX));
            }
            Quirk::AcceptsDownSampling => real.add(|one| one.down_sampling_factors = u16::MAX),
            Quirk::AcceptsOverlappingRange => real.add(|one| one.overlapping_ranges = true),
            Quirk::AcceptsShortEpoch => {
                real.add(|one| {
                    let shortest = EpochLength::new(EpochScale::HundredMicroseconds, 1);
                    one.minimum_epoch = shortest.unwrap_or(one.minimum_epoch);
                });
            }
            Quirk::AcceptsLongEpoch => {
                real.add(|one| {
                    let longest = EpochLength::new(EpochScale::Second, 0xfff);
                    one.maximum_epoch = longest.unwrap_or(one.maximum_epoch);
                });
            }
            Quirk::AcceptsUnsupportedInterrupt => {
                real.add(|one| {
                    one.overflow_interrupt = true;
                    one.fill_level_interrupt = true;
                });
            }
            Quirk::EpochPerCounterIsGlobal => real.add(|one| one.epoch_type = EpochType::Global),
            Quirk::EpochGlobalIsPerCounter => {
                real.add(|one| one.epoch_type = EpochType::PerCounter)
            }
            Quirk::OperationTakesASecond => real.add(|one| one.operation_delay_ns = SECOND_NS),
            Quirk::EnabledBeforeDone | Quirk::OperationCodesSwapped => {
                real.add(|one| {
                    one.operation_delay_ns = one.operation_delay_ns.max(VISIBLE_OPERATION_NS);
                });
            }
            Quirk::InterruptWrongMessage => {
                real.add(|one| one.message_number = one.message_number.saturating_add(1) & 0xf);
            }
            _ => {}
        }
    }

    pub(super) fn break_power_on(&mut self, quirk: Quirk) {
        let power_on = &mut self.power_on;
        match quirk {
            Quirk::PowerOnRequestCode => power_on.request_code = 6,
            Quirk::PowerOnFillLevel => power_on.fill_level_threshold = u16::MAX,
            Quirk::PowerOnRangesSet => power_on.ranges_set = true,
            Quirk::PowerOnStatusSet => power_on.overflow = true,
            Quirk::FunctionResetKeepsConfiguration => power_on.keeps_configuration = true,
            Quirk::FunctionResetKeepsRanges => power_on.keeps_ranges = true,
            Quirk::FunctionResetKeepsList => power_on.keeps_list = true,
            Quirk::FunctionResetKeepsEnabled => power_on.keeps_enabled = true,
            _ => {}
        }
    }
}
