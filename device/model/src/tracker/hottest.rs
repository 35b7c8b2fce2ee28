// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The hot units of an epoch, as many as can find a place.

use std::cmp::Reverse;

use chmu_spec::hotlist::Entry;

/// More units than the longest hotlist and its backlog have room for.
pub(crate) const KEPT_UNITS: usize = 1 << 17;

/// The hot units of an epoch. Of more than can find a place, or than there is memory for, it keeps
/// the hottest.
#[derive(Debug, Default)]
pub(crate) struct Hottest {
    entries: Vec<Entry>,
    omitted: u64,
}

impl Hottest {
    /// Takes a unit.
    pub(crate) fn add(&mut self, entry: Entry) {
        if self.entries.len() >= KEPT_UNITS.saturating_mul(2) {
            self.keep(KEPT_UNITS);
        }
        if self.entries.try_reserve(1).is_err() {
            self.keep(self.entries.len() >> 1);
        }
        if self.entries.len() < self.entries.capacity() {
            self.entries.push(entry);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }

    /// Forgets all but the `kept` hottest units.
    fn keep(&mut self, kept: usize) {
        if kept < self.entries.len() {
            self.entries.select_nth_unstable_by_key(kept, order);
            let omitted = self.entries.len().saturating_sub(kept);
            self.entries.truncate(kept);
            let omitted = u64::try_from(omitted).unwrap_or(u64::MAX);
            self.omitted = self.omitted.saturating_add(omitted);
        }
    }

    /// Sorts the units, the hottest first, ties by the lower unit.
    pub(crate) fn sort(&mut self) {
        self.entries.sort_unstable_by_key(order);
    }

    /// Sorts the units the other way round.
    pub(crate) fn reverse(&mut self) {
        self.entries.reverse();
    }

    /// Sorts the units by their numbers.
    pub(crate) fn sort_by_unit(&mut self) {
        self.entries.sort_unstable_by_key(|entry| entry.unit);
    }

    /// Units that were taken, those that were not kept included.
    pub(crate) fn units(&self) -> u64 {
        let kept = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        kept.saturating_add(self.omitted)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.omitted == 0
    }

    /// Units that were taken and not kept; none from here on.
    pub(crate) fn take_omitted(&mut self) -> u64 {
        std::mem::take(&mut self.omitted)
    }

    /// Gives the units away.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Entry> {
        self.entries.drain(..)
    }
}

fn order(entry: &Entry) -> impl Ord + use<> {
    (Reverse(entry.count), entry.unit)
}

#[cfg(test)]
mod tests {
    use chmu_spec::address::UnitIndex;

    use super::*;

    fn entry(unit: u64, count: u64) -> Entry {
        Entry {
            unit: UnitIndex(unit),
            count,
        }
    }

    #[test]
    fn hottest_come_first_and_ties_by_the_lower_unit() {
        let mut hottest = Hottest::default();
        for (unit, count) in [(5, 2), (1, 2), (3, 9), (2, 1)] {
            hottest.add(entry(unit, count));
        }
        hottest.sort();
        let units: Vec<u64> = hottest.drain().map(|entry| entry.unit.0).collect();
        assert_eq!(units, [3, 1, 5, 2]);
        assert!(hottest.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_hottest_are_kept() {
        let mut hottest = Hottest::default();
        let all = 5 * KEPT_UNITS as u64;
        for unit in 0..all {
            // Counts in no order: an odd factor permutes the numbers below a power of two.
            hottest.add(entry(unit, unit.wrapping_mul(0x9e37) % (1 << 20)));
        }
        assert!(hottest.entries.capacity() <= 4 * KEPT_UNITS);
        assert_eq!(hottest.units(), all);
        hottest.sort();
        let omitted = hottest.take_omitted();
        let kept: Vec<Entry> = hottest.drain().collect();
        assert_eq!(kept.len() as u64 + omitted, all);
        assert!(kept.len() >= KEPT_UNITS);
        let mut expected: Vec<Entry> = (0..all)
            .map(|unit| entry(unit, unit.wrapping_mul(0x9e37) % (1 << 20)))
            .collect();
        expected.sort_by_key(|entry| (Reverse(entry.count), entry.unit));
        assert_eq!(kept[..KEPT_UNITS], expected[..KEPT_UNITS]);
    }
}
