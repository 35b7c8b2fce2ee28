// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Broken hotlists, entries, status bits and interrupts.

use chmu_spec::hotlist::{Entry, maximum_count};
use chmu_spec::register::{FieldAccess, Register};

use crate::behaviour::{Backlog, Behaviour, Full, OtherHeads};
use crate::quirk::Quirk;
use crate::rules::{Comparison, Rules};

impl Behaviour {
    pub(super) fn break_hotlist(&mut self, quirk: Quirk) {
        let hotlist = &mut self.hotlist;
        match quirk {
            Quirk::FullOneEarly => hotlist.full = Full::TwoFree,
            Quirk::FullLooksEmpty => hotlist.full = Full::LooksEmpty,
            Quirk::FullOverwrites => hotlist.full = Full::Overwrites,
            Quirk::HeadPastTail => hotlist.other_heads = OtherHeads::PastTail,
            Quirk::HeadOutOfRange => hotlist.other_heads = OtherHeads::OutOfRange,
            Quirk::BacklogLost => hotlist.backlog = Backlog::Lost,
            Quirk::BacklogReversed => hotlist.backlog = Backlog::NewestFirst,
            _ => {}
        }
    }

    pub(super) fn break_entries(&mut self, quirk: Quirk) {
        let entries = &mut self.entries;
        match quirk {
            Quirk::CountZero => {
                entries.encode = |one, rules| encode(rules, Entry { count: 0, ..one })
            }
            Quirk::CountOneLess => {
                entries.encode =
                    |one, rules| encode(rules, with_count(one, one.count.saturating_sub(1)));
            }
            Quirk::CountWraps => {
                entries.encode = |one, rules| {
                    encode(
                        rules,
                        with_count(one, one.count & maximum_count(rules.counter_width)),
                    )
                };
            }
            Quirk::DownSamplingScaledBack => {
                entries.encode = |one, rules| {
                    let factor = 1 << (rules.down_sampling_log2 & 0xf);
                    encode(rules, with_count(one, one.count.saturating_mul(factor)))
                };
            }
            Quirk::UnitShifted => {
                entries.encode = |mut one, rules| {
                    one.unit.0 = one.unit.0.saturating_add(1);
                    encode(rules, one)
                };
            }
            Quirk::UnitIsAddress => {
                entries.encode = |mut one, rules| {
                    one.unit.0 <<= rules.unit_size.log2_bytes() & 31;
                    encode(rules, one)
                };
            }
            Quirk::UnitFieldsSwapped => {
                entries.encode = |one, _| one.count << 32 | one.unit.0 & 0xffff_ffff;
            }
            Quirk::EntryBytesSwapped => {
                entries.encode = |one, rules| encode(rules, one).swap_bytes();
            }
            Quirk::EntryTwice => entries.copies = |_| 2,
            Quirk::AlwaysOnReportsTwice => {
                entries.copies = |rules| match rules.comparison {
                    Comparison::AlwaysOn => 2,
                    _ => 1,
                };
            }
            Quirk::ColdestFirst => entries.coldest_first = true,
            Quirk::EntryAfterTail => entries.stored_late = true,
            _ => {}
        }
    }

    pub(super) fn break_status(&mut self, quirk: Quirk) {
        let (registers, status) = (&mut self.registers, &mut self.status);
        match quirk {
            Quirk::StatusPlainWrite => {
                registers.status = |register, old, _, (value, lanes)| {
                    let bits = cleared_by_one(register);
                    (old & !(bits & lanes)) | (value & bits & lanes)
                };
            }
            Quirk::StatusNeverClears => registers.status = |_, old, _, _| old,
            Quirk::StatusClearsBoth => {
                registers.status = |register, old, new, _| match new == old {
                    true => new,
                    false => new & !cleared_by_one(register),
                };
            }
            Quirk::StatusClearsByAnyWrite => {
                registers.status = |register, _, new, _| new & !cleared_by_one(register);
            }
            Quirk::StatusClearsOnRead => registers.status_clears_on_read = true,
            Quirk::StatusBitsSwapped => status.bits_swapped = true,
            Quirk::OverflowNeverSet => status.overflows = |_| false,
            Quirk::OverflowWhenWaiting => {
                status.overflows = |shortage| shortage.lost || shortage.waiting;
            }
            Quirk::OverflowEachEpoch => status.epoch_overflows = true,
            Quirk::FillLevelNeverSet => status.is_filled = |_, _| false,
            Quirk::FillLevelAtHalf => {
                status.is_filled = |occupancy, threshold| occupancy > threshold >> 1;
            }
            Quirk::FillLevelNeverRearmed => status.fill_level_rearms = false,
            Quirk::FillLevelNotLatched => status.fill_level_latches = false,
            _ => {}
        }
    }

    pub(super) fn break_interrupts(&mut self, quirk: Quirk) {
        let status = &mut self.status;
        match quirk {
            Quirk::InterruptNotForOverflow => {
                status.interrupts = |rose, _, enabled| rose.fill_level && enabled.fill_level;
            }
            Quirk::InterruptNotForFillLevel => {
                status.interrupts = |rose, _, enabled| rose.overflow && enabled.overflow;
            }
            Quirk::InterruptThoughDisabled => status.interrupts = |rose, _, _| rose.any(),
            Quirk::InterruptEnablesSwapped => {
                status.interrupts = |rose, _, enabled| rose.meets(enabled.swapped());
            }
            Quirk::InterruptEachInsertion => {
                status.interrupts = |_, set, enabled| set.meets(enabled)
            }
            Quirk::InterruptEachEpoch => status.epoch_interrupts = true,
            Quirk::InterruptOnce => status.clear_mutes = true,
            _ => {}
        }
    }
}

fn cleared_by_one(register: &Register) -> u64 {
    register.mask(FieldAccess::WriteOneToClear)
}

fn with_count(entry: Entry, count: u64) -> Entry {
    Entry { count, ..entry }
}

fn encode(rules: &Rules, entry: Entry) -> u64 {
    entry.encode(rules.counter_width)
}
