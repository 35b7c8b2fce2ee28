// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Broken hotlists, entries, status bits and interrupts.

use chmu_spec::address::UnitIndex;
use chmu_spec::hotlist::{Entry, maximum_count};
use chmu_spec::register::{FieldAccess, Register};

use crate::behaviour::{Backlog, Behaviour, Full, Order, OtherHeads, PerCondition};
use crate::quirk::Quirk;
use crate::rules::{Comparison, Rules};

/// Spreads the bits of a number over a word.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

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
            Quirk::CountZero => entries.said.add(|one, _| with_count(one, 0)),
            Quirk::CountOneLess => {
                let less = |one: Entry, _: &Rules| with_count(one, one.count.saturating_sub(1));
                entries.said.add(less);
            }
            Quirk::CountWraps => entries
                .said
                .add(|one, rules| with_count(one, one.count & maximum_count(rules.counter_width))),
            Quirk::DownSamplingScaledBack => entries.said.add(|one, rules| {
                let factor = 1 << (rules.down_sampling_log2 & 0xf);
                with_count(one, one.count.saturating_mul(factor))
            }),
            Quirk::UnitShifted => {
                entries
                    .said
                    .add(|one, _| with_unit(one, one.unit.0.saturating_add(1)));
            }
            Quirk::UnitIsAddress => {
                entries
                    .said
                    .add(|one, rules| with_unit(one, one.unit.0 << unit_bits(rules)));
            }
            Quirk::UnitRandom => {
                entries.said.add(|one, _| {
                    let mixed = (one.unit.0 ^ one.count << 32 ^ 0x5bd1).wrapping_mul(GOLDEN);
                    with_unit(one, mixed >> 40)
                });
            }
            Quirk::EntryIsAddress => {
                entries.encode = |one, rules| {
                    let bits = unit_bits(rules);
                    one.unit.0 << bits | one.count & !(u64::MAX << bits)
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
            Quirk::ColdestFirst => entries.order = Order::Coldest,
            Quirk::LowestFirst => entries.order = Order::Lowest,
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
            Quirk::OverflowWhenFull => {
                status.overflows = |shortage| shortage.lost || shortage.full;
            }
            Quirk::StatusNeedsInterrupts => {
                status.seen = |holding, enabled| PerCondition {
                    overflow: holding.overflow && enabled.overflow,
                    fill_level: holding.fill_level && enabled.fill_level,
                };
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

fn with_unit(entry: Entry, unit: u64) -> Entry {
    Entry {
        unit: UnitIndex(unit),
        ..entry
    }
}

/// log2 of the bytes of a unit.
fn unit_bits(rules: &Rules) -> u8 {
    rules.unit_size.log2_bytes() & 31
}

fn encode(rules: &Rules, entry: Entry) -> u64 {
    entry.encode(rules.counter_width)
}
