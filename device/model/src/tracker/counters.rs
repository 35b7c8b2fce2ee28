// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One counter for each unit of the device's memory.

use chmu_spec::address::UnitIndex;
use chmu_spec::hotlist::Entry;

/// log2 of the counters in a chunk: 2 KiB, so that the epoch's end walks few cache lines that
/// hold nothing.
const CHUNK_SHIFT: u32 = 9;
const CHUNK_COUNTERS: usize = 1 << CHUNK_SHIFT;

#[derive(Debug, Clone)]
struct Chunk {
    touched: bool,
    counters: [u32; CHUNK_COUNTERS],
}

/// Which counters start again from zero at the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clearing {
    All,
    /// Those of hot units.
    Hot,
    None,
}

/// One saturating counter for each unit; memory is taken where units are accessed.
#[derive(Debug)]
pub(crate) struct Counters {
    directory: Vec<Option<Box<Chunk>>>,
    /// Chunks with a counter that is not zero.
    touched: Vec<usize>,
    maximum: u32,
}

impl Counters {
    /// Counters for `units` units, each at most `maximum`.
    pub(crate) fn new(units: u64, maximum: u32) -> Self {
        let chunks = units.div_ceil(1 << CHUNK_SHIFT);
        let chunks = usize::try_from(chunks).unwrap_or(usize::MAX);
        Self {
            // Not touched before it is used, unlike what an iterator would collect.
            directory: vec![None; chunks],
            touched: Vec::new(),
            maximum,
        }
    }

    fn split(unit: UnitIndex) -> (usize, usize) {
        let chunk = usize::try_from(unit.0 >> CHUNK_SHIFT).unwrap_or(usize::MAX);
        let mask = u64::from(u32::MAX >> (u32::BITS - CHUNK_SHIFT));
        let counter = usize::try_from(unit.0 & mask).unwrap_or(0);
        (chunk, counter)
    }

    /// Counts one access and returns the count before it; none for a unit beyond the device.
    #[inline]
    pub(crate) fn increment(&mut self, unit: UnitIndex) -> Option<u32> {
        let (index, counter) = Self::split(unit);
        let slot = self.directory.get_mut(index)?;
        let chunk = slot.get_or_insert_with(new_chunk);
        let count = chunk.counters.get_mut(counter)?;
        let before = *count;
        // A counter that is not zero lies in a touched chunk: the flag's cache line can wait.
        if before == 0 && !chunk.touched {
            chunk.touched = true;
            self.touched.push(index);
        }
        if before < self.maximum {
            *count = before.wrapping_add(1);
        }
        Some(before)
    }

    /// Whether an access was counted since all counters were zero.
    pub(crate) fn any_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Takes a unit's count and starts it again from zero.
    pub(crate) fn take(&mut self, unit: UnitIndex) -> u32 {
        let (index, counter) = Self::split(unit);
        let chunk = self.directory.get_mut(index).and_then(Option::as_deref_mut);
        chunk
            .and_then(|chunk| chunk.counters.get_mut(counter))
            .map_or(0, std::mem::take)
    }

    /// Ends an epoch: `hot` takes the units that counted at least `threshold` (and at least one
    /// access), hottest first, ties by the lower unit.
    pub(crate) fn take_hot(&mut self, threshold: u32, clearing: Clearing, hot: &mut Vec<Entry>) {
        let threshold = threshold.max(1);
        for index in &self.touched {
            let Some(chunk) = self
                .directory
                .get_mut(*index)
                .and_then(Option::as_deref_mut)
            else {
                continue;
            };
            let first = u64::try_from(*index).unwrap_or(u64::MAX) << CHUNK_SHIFT;
            for (count, unit) in chunk.counters.iter_mut().zip(first..) {
                if *count >= threshold {
                    hot.push(Entry {
                        unit: UnitIndex(unit),
                        count: u64::from(*count),
                    });
                    if clearing == Clearing::Hot {
                        *count = 0;
                    }
                }
            }
            if clearing == Clearing::All {
                chunk.touched = false;
                chunk.counters.fill(0);
            }
        }
        if clearing == Clearing::All {
            self.touched.clear();
        }
        hot.sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.count), entry.unit));
    }
}

fn new_chunk() -> Box<Chunk> {
    Box::new(Chunk {
        touched: false,
        counters: [0; CHUNK_COUNTERS],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn taken(counters: &mut Counters, threshold: u32) -> Vec<Entry> {
        let mut hot = Vec::new();
        counters.take_hot(threshold, Clearing::All, &mut hot);
        hot
    }

    proptest! {
        #[test]
        fn counts_equal_a_map(
            units in proptest::collection::vec(0_u64..5000, 0..800),
            maximum in 1_u32..20,
            threshold in 0_u32..6,
        ) {
            let mut counters = Counters::new(5000, maximum);
            let mut naive = BTreeMap::<u64, u32>::new();
            for unit in units.iter().map(|unit| unit * unit % 5000) {
                let count = naive.entry(unit).or_default();
                prop_assert_eq!(counters.increment(UnitIndex(unit)), Some(*count));
                *count = maximum.min(*count + 1);
            }
            let mut expected: Vec<(u32, u64)> = naive
                .into_iter()
                .filter(|(_, count)| *count >= threshold)
                .map(|(unit, count)| (count, unit))
                .collect();
            expected.sort_by_key(|(count, unit)| (u32::MAX - count, *unit));
            let hot: Vec<(u32, u64)> = taken(&mut counters, threshold)
                .into_iter()
                .map(|entry| (u32::try_from(entry.count).unwrap(), entry.unit.0))
                .collect();
            prop_assert_eq!(hot, expected);
            prop_assert!(taken(&mut counters, 0).is_empty());
        }
    }

    #[test]
    fn counters_may_survive_an_epoch() {
        let left = |clearing| {
            let mut counters = Counters::new(10, 100);
            for unit in [1, 1, 1, 2] {
                counters.increment(UnitIndex(unit));
            }
            counters.take_hot(2, clearing, &mut Vec::new());
            [1, 2].map(|unit| counters.take(UnitIndex(unit)))
        };
        assert_eq!(left(Clearing::All), [0, 0]);
        assert_eq!(left(Clearing::Hot), [0, 1]);
        assert_eq!(left(Clearing::None), [3, 1]);
    }

    #[test]
    fn a_unit_beyond_the_device_is_not_counted() {
        let mut counters = Counters::new(10, 100);
        assert_eq!(counters.increment(UnitIndex(1 << 20)), None);
        assert_eq!(counters.increment(UnitIndex(u64::MAX)), None);
        assert!(taken(&mut counters, 0).is_empty());
    }

    #[test]
    fn a_taken_counter_starts_again() {
        let mut counters = Counters::new(10, 100);
        counters.increment(UnitIndex(3));
        counters.increment(UnitIndex(3));
        assert_eq!(counters.take(UnitIndex(3)), 2);
        assert_eq!(counters.increment(UnitIndex(3)), Some(0));
        assert_eq!(counters.take(UnitIndex(9)), 0);
    }
}
