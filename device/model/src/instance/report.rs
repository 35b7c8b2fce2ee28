// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From hot units to entries, status bits and interrupts.

use chmu_spec::hotlist::{ENTRY_BYTES, Entry};

use crate::event::Event;
use crate::host::Host;
use crate::quirk::Quirk;
use crate::statistics::count;

use super::Instance;
use super::counting::Counting;
use super::hotlist::Placed;

impl Instance {
    /// Ends the epochs that are over at `now_ns`.
    pub(super) fn end_epochs(&mut self, now_ns: u64, host: &mut impl Host) {
        while let Some(counting) = &mut self.counting
            && let Some(ended) = counting.end_epoch(now_ns, &mut self.hot)
        {
            self.statistics.epochs_closed =
                self.statistics.epochs_closed.saturating_add(ended.epochs);
            let hot_units = u64::try_from(self.hot.len()).unwrap_or(u64::MAX);
            let dropped_units = self.report(host);
            if ended.accessed {
                host.event(Event::EpochClosed {
                    instance: self.place.number,
                    hot_units,
                    dropped_units,
                });
            }
        }
    }

    /// Appends the hot units, looks at the fill level and returns how many units were lost.
    pub(super) fn report(&mut self, host: &mut impl Host) -> u64 {
        let counter_width = self.counting.as_ref().map_or(0, Counting::counter_width);
        let mut hot = std::mem::take(&mut self.hot);
        let mut lost = 0;
        for entry in hot.drain(..) {
            let entry = self.encode(entry, counter_width);
            match self.hotlist.place(entry) {
                Placed::Listed(index) => self.store(index, entry, host),
                Placed::Waiting => {}
                Placed::Lost => count(&mut lost),
            }
        }
        self.hot = hot;
        self.statistics.units_dropped = self.statistics.units_dropped.saturating_add(lost);
        self.update_status(lost > 0, host);
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

    fn encode(&self, entry: Entry, counter_width: u8) -> u64 {
        entry.encode(counter_width)
    }

    fn store(&mut self, index: u16, entry: u64, host: &mut impl Host) {
        let inside = u64::from(index).saturating_mul(ENTRY_BYTES);
        host.store_entry(self.place.hotlist.saturating_add(inside), entry);
        count(&mut self.statistics.units_reported);
    }

    /// Sets the status bits whose condition holds and interrupts for those that were clear.
    fn update_status(&mut self, overflows: bool, host: &mut impl Host) {
        let threshold = self.registers.configuration_2.fill_level_threshold();
        let overflows = overflows && !self.has(Quirk::OverflowNeverSet);
        let above = self.hotlist.occupancy() > threshold && !self.has(Quirk::FillLevelNeverSet);
        let overflow_rises = overflows && !self.registers.overflow;
        let fill_level_rises = above && !self.registers.fill_level;
        self.registers.overflow |= overflows;
        self.registers.fill_level |= above;

        let configuration = self.registers.configuration_0;
        if (overflow_rises && configuration.overflow_interrupt())
            || (fill_level_rises && configuration.fill_level_interrupt())
        {
            count(&mut self.statistics.interrupts);
            host.interrupt(self.capabilities.message_number);
        }
    }
}
