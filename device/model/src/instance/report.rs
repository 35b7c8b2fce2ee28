// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From hot units to entries, status bits and interrupts.

use chmu_spec::hotlist::{ENTRY_BYTES, Entry};

use crate::behaviour::{Order, PerCondition, Shortage};
use crate::event::Event;
use crate::host::Host;
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
            match self.behaviour.entries.order {
                Order::Hottest => {}
                Order::Coldest => self.hot.reverse(),
                Order::Lowest => self.hot.sort_by_unit(),
            }
            self.statistics.epochs_closed =
                self.statistics.epochs_closed.saturating_add(ended.epochs);
            let hot_units = self.hot.units();
            let dropped_units = self.report(host);
            let (is_filled, enabled) = (self.is_filled(), self.enabled_interrupts());
            if self.status.end_epoch(is_filled, enabled) {
                self.interrupt(host);
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
        let lost_some = lost > 0;
        self.update_status(
            Shortage {
                lost: lost_some,
                waiting,
                full: self.hotlist.is_full(),
            },
            host,
        );
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
            let shortage = Shortage {
                full: self.hotlist.is_full(),
                ..Shortage::default()
            };
            self.update_status(shortage, host);
        }
    }

    /// Whether the list holds more entries than the fill-level threshold.
    pub(super) fn is_filled(&self) -> bool {
        let threshold = self.registers.configuration_2.fill_level_threshold();
        self.status.is_filled(self.hotlist.occupancy(), threshold)
    }

    /// How often a hot unit is appended.
    fn copies(&self) -> u8 {
        let rules = self.counting.as_ref().map(Counting::rules);
        rules.map_or(0, self.behaviour.entries.copies)
    }

    fn encode(&self, entry: Entry) -> u64 {
        let Some(rules) = self.counting.as_ref().map(Counting::rules) else {
            return 0;
        };
        let said = self.behaviour.entries.said.iter();
        let entry = said.fold(entry, |entry, link| link(entry, rules));
        (self.behaviour.entries.encode)(entry, rules)
    }

    fn store(&mut self, index: u16, entry: u64, host: &mut impl Host) {
        let inside = u64::from(index).saturating_mul(ENTRY_BYTES);
        let offset = self.place.hotlist.saturating_add(inside);
        count(&mut self.statistics.units_reported);
        if !self.behaviour.entries.stored_late {
            host.store_entry(offset, entry);
        } else if let Some((offset, entry)) = self.late_entry.replace((offset, entry)) {
            host.store_entry(offset, entry);
        }
    }

    /// Sets the status bits whose condition holds and interrupts for those that were clear.
    fn update_status(&mut self, shortage: Shortage, host: &mut impl Host) {
        let (is_filled, enabled) = (self.is_filled(), self.enabled_interrupts());
        if self.status.update(shortage, is_filled, enabled) {
            self.interrupt(host);
        }
    }

    fn enabled_interrupts(&self) -> PerCondition {
        let configuration = self.registers.configuration_0;
        PerCondition {
            overflow: configuration.overflow_interrupt(),
            fill_level: configuration.fill_level_interrupt(),
        }
    }

    fn interrupt(&mut self, host: &mut impl Host) {
        count(&mut self.statistics.interrupts);
        host.interrupt(self.capabilities.message_number & self.message_mask);
    }
}
