// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From hot units to entries, status bits and interrupts.

use chmu_spec::hotlist::{ENTRY_BYTES, Entry};

use crate::event::Event;
use crate::host::Host;
use crate::quirk::Quirk;
use crate::statistics::count;

use super::counting::Counting;
use super::hotlist::Placed;
use super::rules::Comparison;
use super::{Instance, broken};

impl Instance {
    /// Ends the epochs that are over at `now_ns`.
    pub(super) fn end_epochs(&mut self, now_ns: u64, host: &mut impl Host) {
        while let Some(counting) = &mut self.counting
            && let Some(ended) = counting.end_epoch(now_ns, &mut self.hot)
        {
            if self.has(Quirk::ColdestFirst) {
                self.hot.reverse();
            }
            self.statistics.epochs_closed =
                self.statistics.epochs_closed.saturating_add(ended.epochs);
            let hot_units = self.hot.units();
            let dropped_units = self.report(host);
            match self.quirk {
                Some(Quirk::OverflowEachEpoch) => self.update_status(true, host),
                Some(Quirk::InterruptEachEpoch) => self.interrupt(host),
                _ => {}
            }
            if ended.accessed {
                host.event(Event::EpochClosed {
                    instance: self.place.number,
                    hot_units,
                    dropped_units,
                    merged_epochs: ended.epochs.saturating_sub(1),
                });
            }
        }
    }

    /// Appends the hot units, looks at the fill level and returns how many units were lost.
    pub(super) fn report(&mut self, host: &mut impl Host) -> u64 {
        let mut hot = std::mem::take(&mut self.hot);
        let (mut lost, mut waiting) = (hot.take_omitted(), false);
        for entry in hot.drain() {
            for _ in 0..self.copies() {
                let entry = self.encode(entry);
                match self.hotlist.place(entry) {
                    Placed::Listed(index) => self.store(index, entry, host),
                    Placed::Waiting => waiting = true,
                    Placed::Lost => count(&mut lost),
                }
            }
        }
        self.hot = hot;
        self.statistics.units_dropped = self.statistics.units_dropped.saturating_add(lost);
        let overflows = lost > 0 || waiting && self.has(Quirk::OverflowWhenWaiting);
        self.update_status(overflows, host);
        lost
    }

    /// Lets waiting units into the list.
    pub(super) fn refill(&mut self, host: &mut impl Host) {
        let mut refilled = false;
        while let Some((index, entry)) = self.hotlist.refill() {
            self.store(index, entry, host);
            refilled = true;
        }
        if refilled {
            self.update_status(false, host);
        }
    }

    /// Whether the list holds more entries than the fill-level threshold.
    pub(super) fn is_filled(&self) -> bool {
        let threshold = self.registers.configuration_2.fill_level_threshold();
        let threshold = match self.quirk {
            Some(Quirk::FillLevelAtHalf) => threshold >> 1,
            _ => threshold,
        };
        self.hotlist.occupancy() > threshold
    }

    /// How often a hot unit is appended.
    fn copies(&self) -> u8 {
        let always_on = self
            .counting
            .as_ref()
            .is_some_and(|counting| counting.rules().comparison == Comparison::AlwaysOn);
        match self.quirk {
            Some(Quirk::EntryTwice) => 2,
            Some(Quirk::AlwaysOnReportsTwice) if always_on => 2,
            _ => 1,
        }
    }

    fn encode(&self, entry: Entry) -> u64 {
        let Some(rules) = self.counting.as_ref().map(Counting::rules) else {
            return 0;
        };
        let scale = (rules.unit_size, rules.down_sampling_log2);
        broken::encode(self.quirk, entry, rules.counter_width, scale)
    }

    fn store(&mut self, index: u16, entry: u64, host: &mut impl Host) {
        let inside = u64::from(index).saturating_mul(ENTRY_BYTES);
        let offset = self.place.hotlist.saturating_add(inside);
        count(&mut self.statistics.units_reported);
        if !self.has(Quirk::EntryAfterTail) {
            host.store_entry(offset, entry);
        } else if let Some((offset, entry)) = self.memory.late_entry.replace((offset, entry)) {
            host.store_entry(offset, entry);
        }
    }

    /// Sets the status bits whose condition holds and interrupts for those that were clear.
    fn update_status(&mut self, overflows: bool, host: &mut impl Host) {
        let overflows = overflows && !self.has(Quirk::OverflowNeverSet);
        let filled = self.is_filled() && !self.has(Quirk::FillLevelNeverSet);
        let spent = self.memory.fill_level_rose && self.has(Quirk::FillLevelNeverRearmed);
        let overflow_rises = overflows && !self.registers.overflow;
        let fill_level_rises = filled && !self.registers.fill_level && !spent;
        self.registers.overflow |= overflow_rises;
        self.registers.fill_level |= fill_level_rises;
        self.memory.fill_level_rose |= fill_level_rises;
        if self.interrupts_for(overflow_rises, fill_level_rises) {
            self.interrupt(host);
        }
    }

    /// Whether these rises of status bits send an interrupt.
    fn interrupts_for(&mut self, overflow_rises: bool, fill_level_rises: bool) -> bool {
        let configuration = self.registers.configuration_0;
        let overflow = configuration.overflow_interrupt();
        let fill_level = configuration.fill_level_interrupt();
        let due = overflow_rises && overflow || fill_level_rises && fill_level;
        match self.quirk {
            Some(Quirk::InterruptNotForOverflow) => fill_level_rises && fill_level,
            Some(Quirk::InterruptNotForFillLevel) => overflow_rises && overflow,
            Some(Quirk::InterruptThoughDisabled) => overflow_rises || fill_level_rises,
            Some(Quirk::InterruptEnablesSwapped) => {
                overflow_rises && fill_level || fill_level_rises && overflow
            }
            Some(Quirk::InterruptEachInsertion) => {
                let registers = &self.registers;
                registers.overflow && overflow || registers.fill_level && fill_level
            }
            Some(Quirk::InterruptOnce) if due => !std::mem::take(&mut self.memory.muted),
            _ => due,
        }
    }

    fn interrupt(&mut self, host: &mut impl Host) {
        count(&mut self.statistics.interrupts);
        host.interrupt(self.capabilities.message_number);
    }
}
