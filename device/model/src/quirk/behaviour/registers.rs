// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Broken registers, settings and operations.

use chmu_spec::chmu::{INSTANCE_REGISTERS_BYTES, Operation, offset};
use chmu_spec::hotlist::maximum_count;
use chmu_spec::register::Register;
use chmu_spec::request::RequestFilter;

use crate::behaviour::Behaviour;
use crate::quirk::Quirk;

impl Behaviour {
    pub(super) fn break_registers(&mut self, quirk: Quirk) {
        let registers = &mut self.registers;
        let never_locked = &mut registers.is_never_locked;
        match quirk {
            Quirk::RequestsWritableWhileEnabled => {
                never_locked.add(|offset| offset == offset::CONFIGURATION_0);
            }
            Quirk::UnitWritableWhileEnabled => {
                never_locked.add(|offset| offset == offset::CONFIGURATION_1);
            }
            Quirk::FillLevelWritableWhileEnabled => {
                never_locked.add(|offset| offset == offset::CONFIGURATION_2);
            }
            Quirk::RangesWritableWhileEnabled => {
                never_locked.add(|offset| offset >= INSTANCE_REGISTERS_BYTES);
            }
            Quirk::ConfigurationReservedBits => {
                registers.kept.add(|register, new, (value, lanes)| {
                    let reserved = register.reserved() & lanes;
                    (new & !reserved) | (value & reserved)
                });
            }
            Quirk::ThresholdTruncated => {
                registers
                    .kept
                    .add(|register, new, _| match register.offset {
                        offset::CONFIGURATION_0 => new & 0x0000_00ff_ffff_ffff,
                        _ => new,
                    });
            }
            Quirk::HalfWriteClobbers => {
                registers.reached.add(|register, _, lanes| {
                    let half = register.width == 64 && lanes.count_ones() == 32;
                    if half { u64::MAX } else { lanes }
                });
            }
            Quirk::NarrowWriteIgnored => {
                registers.reached.add(|register, _, lanes| {
                    unless(is_configuration(register) && lanes.count_ones() < 32, lanes)
                });
            }
            Quirk::HeadShortWriteIgnored => {
                registers.reached.add(|register, word, lanes| {
                    unless(is_head(register) && !is_wide(word), lanes)
                });
            }
            Quirk::HeadWideWriteIgnored => {
                registers
                    .reached
                    .add(|register, word, lanes| unless(is_head(register) && is_wide(word), lanes));
            }
            Quirk::HeadOfFirstInstance => {
                registers.reached_instance = |index, word| match (index, word) {
                    (1, offset::HOTLIST_HEAD) => 0,
                    _ => index,
                };
            }
            Quirk::RangeNarrowWriteIgnored => {
                registers.reaches_ranges = |lanes| lanes == u64::MAX;
            }
            Quirk::HeadReadsZero => registers.head = |_| 0,
            Quirk::TailWritable => registers.tail_is_writable = true,
            _ => {}
        }
    }

    pub(super) fn break_settings(&mut self, quirk: Quirk) {
        let settings = &mut self.settings;
        match quirk {
            Quirk::AcceptsReservedRequestCode => {
                settings.reserved_request_code = Some(RequestFilter::AllReadWrite);
            }
            Quirk::AcceptsMode => settings.reserved_mode_is_epoch = true,
            Quirk::AcceptsEpochCodes => settings.reserved_epoch_is_shortest = true,
            Quirk::AcceptsWideThreshold => settings.threshold_fits = |_, _| true,
            Quirk::RefusesLargestThreshold => {
                settings.threshold_fits =
                    |threshold, width| u64::from(threshold) < maximum_count(width);
            }
            Quirk::RefusesShortestEpoch => {
                settings.epoch_fits =
                    |length_ns, bounds| bounds.contains(&length_ns) && length_ns != *bounds.start();
            }
            Quirk::RefusesLongestEpoch => {
                settings.epoch_fits =
                    |length_ns, bounds| bounds.contains(&length_ns) && length_ns != *bounds.end();
            }
            _ => {}
        }
    }

    pub(super) fn break_operations(&mut self, quirk: Quirk) {
        let operations = &mut self.operations;
        match quirk {
            Quirk::InProgressNeverClears => {
                operations.shown =
                    |operation, counts| operation.or(counts.then_some(Operation::Enable));
            }
            Quirk::OperationCodesSwapped => {
                operations.shown = |operation, _| match operation {
                    Some(Operation::Enable) => Some(Operation::Disable),
                    Some(Operation::Disable) => Some(Operation::Enable),
                    other => other,
                };
            }
            Quirk::EnabledBeforeDone => {
                operations.shows_enabled = |activity| activity.counts || activity.is_being_enabled;
            }
            Quirk::DisableKeepsCounting => {
                operations.disable_keeps_counting = true;
                operations.shows_enabled = |activity| activity.counts && activity.enable;
            }
            Quirk::RefusedEnableBitSticks => operations.refused_enable_sticks = true,
            Quirk::EnableRestartsEpoch => operations.enable_restarts_epoch = true,
            Quirk::EnableEmptiesList => operations.enable_empties_list = true,
            Quirk::DisableEmptiesList => operations.disable_empties_list = true,
            Quirk::DisableKeepsCounters => operations.disable_keeps_counters = true,
            Quirk::DisableLosesConfiguration => operations.disable_loses_configuration = true,
            Quirk::ResetIgnored => operations.reset_acts = false,
            Quirk::ResetBitSticks => operations.reset_bit_sticks = true,
            Quirk::ResetKeepsList => operations.reset_keeps_list = true,
            Quirk::ResetKeepsStatus => operations.reset_keeps_status = true,
            Quirk::ResetKeepsCounters => operations.reset_keeps_counters = true,
            Quirk::ResetKeepsEnabled => operations.reset_keeps_enabled = true,
            Quirk::ResetLosesConfiguration => operations.reset_loses_configuration = true,
            Quirk::ResetLosesRanges => operations.reset_loses_ranges = true,
            _ => {}
        }
    }
}

fn unless(ignored: bool, lanes: u64) -> u64 {
    if ignored { 0 } else { lanes }
}

fn is_configuration(register: &Register) -> bool {
    matches!(
        register.offset,
        offset::CONFIGURATION_0 | offset::CONFIGURATION_1 | offset::CONFIGURATION_2
    )
}

fn is_head(register: &Register) -> bool {
    register.offset == offset::HOTLIST_HEAD
}

/// Whether these bits of a word are more than the head.
fn is_wide(word: u64) -> bool {
    word.count_ones() > 16
}
