// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One counter for each unit of the device's memory.
//!
//! Counters come in chunks, which take memory where units are accessed. The first chunks are found
//! through a directory, and those of a large device through tables that take memory in the same
//! way, so that an epoch's end and a disable cost by what was used, not by the device's size.

use std::collections::TryReserveError;

use chmu_spec::address::UnitIndex;
use chmu_spec::hotlist::Entry;

use super::hottest::Hottest;

/// log2 of the counters in a chunk: 2 KiB, so that the epoch's end walks few cache lines that
/// hold nothing.
const CHUNK_SHIFT: u32 = 9;
const CHUNK_COUNTERS: usize = 1 << CHUNK_SHIFT;
const CHUNK_MASK: u64 = (1 << CHUNK_SHIFT) - 1;

/// Chunks that the directory leads to: 32 Mi units.
const DIRECTORY_CHUNKS: usize = 1 << 16;

/// log2 of the chunks that a table leads to.
const TABLE_SHIFT: u32 = 12;
const TABLE_CHUNKS: usize = 1 << TABLE_SHIFT;
const TABLE_MASK: usize = TABLE_CHUNKS - 1;

/// Chunks that are there from the start: all of them for up to 2 Mi units, and of more units
/// those of one in [`SPARSE`].
const DENSE_CHUNKS: usize = 1 << 12;
const SPARSE: usize = 256;

/// Leads to places of [`Counters::chunks`]; 0 stands for a chunk without memory.
type Table = Vec<u32>;

type Chunk = [u32; CHUNK_COUNTERS];

/// What is known of a chunk beside its counters.
#[derive(Debug, Clone, Copy)]
struct ChunkState {
    first_unit: u64,
    /// One of its counters may not be zero.
    touched: bool,
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
    directory: Table,
    /// Empty where no unit was accessed; the first of them would lead where the directory does.
    tables: Vec<Table>,
    /// The first of them belongs to no unit.
    chunks: Vec<Chunk>,
    states: Vec<ChunkState>,
    /// Places of the touched chunks; has room for all chunks there are.
    touched: Vec<u32>,
    maximum: u32,
    /// Accesses whose counter could not be had.
    missed: u64,
}

impl Counters {
    /// Counters for `units` units, each at most `maximum`.
    ///
    /// # Errors
    /// Fails when there is no memory for all of them, or for one in 256 where these are more
    /// than 8 MiB.
    pub(crate) fn new(units: u64, maximum: u32) -> Result<Self, TryReserveError> {
        let chunks = usize::try_from(units.div_ceil(1 << CHUNK_SHIFT)).unwrap_or(usize::MAX);
        let from_the_start = chunks.min(DENSE_CHUNKS).max(chunks.div_ceil(SPARSE));
        let mut counters = Self {
            directory: Table::new(),
            tables: Vec::new(),
            chunks: Vec::new(),
            states: Vec::new(),
            touched: Vec::new(),
            maximum,
            missed: 0,
        };
        let direct = chunks.min(DIRECTORY_CHUNKS);
        counters.directory.try_reserve_exact(direct)?;
        counters.directory.resize(direct, 0);
        let tables = match chunks > DIRECTORY_CHUNKS {
            true => chunks.div_ceil(TABLE_CHUNKS),
            false => 0,
        };
        counters.tables.try_reserve_exact(tables)?;
        counters.tables.resize_with(tables, Table::new);
        counters
            .chunks
            .try_reserve_exact(from_the_start.saturating_add(1))?;
        counters.states.try_reserve(1)?;
        counters.push_chunk(0);
        Ok(counters)
    }

    /// The chunk of a unit, by its number in the device, and the place in the chunk.
    fn split(unit: UnitIndex) -> (usize, usize) {
        let place = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        (place(unit.0 >> CHUNK_SHIFT), place(unit.0 & CHUNK_MASK))
    }

    /// The table that leads to a chunk behind the directory, and the place in it.
    const fn split_chunk(chunk: usize) -> (usize, usize) {
        (chunk >> TABLE_SHIFT, chunk & TABLE_MASK)
    }

    /// What leads to a chunk; none beyond the device.
    #[inline]
    fn entry(&self, chunk: usize) -> Option<u32> {
        if let Some(entry) = self.directory.get(chunk) {
            return Some(*entry);
        }
        let (table, place) = Self::split_chunk(chunk);
        Some(self.tables.get(table)?.get(place).copied().unwrap_or(0))
    }

    /// What leads to a chunk, to be set.
    fn entry_mut(&mut self, chunk: usize) -> Result<&mut u32, NoMemory> {
        if chunk < self.directory.len() {
            return self.directory.get_mut(chunk).ok_or(NoMemory);
        }
        let (table, place) = Self::split_chunk(chunk);
        let table = self.tables.get_mut(table).ok_or(NoMemory)?;
        if table.is_empty() {
            table.try_reserve_exact(TABLE_CHUNKS)?;
            table.resize(TABLE_CHUNKS, 0);
        }
        table.get_mut(place).ok_or(NoMemory)
    }

    /// Counts one access and returns the count before it; none for a unit beyond the device, or
    /// without memory for its counter.
    #[inline]
    pub(crate) fn increment(&mut self, unit: UnitIndex) -> Option<u32> {
        let (chunk, counter) = Self::split(unit);
        let entry = match self.directory.get(chunk) {
            Some(entry) if *entry != 0 => *entry,
            _ => self.find_chunk(chunk)?,
        };
        let chunk = self.chunks.get_mut(usize::try_from(entry).ok()?)?;
        let count = chunk.get_mut(counter)?;
        let before = *count;
        if before < self.maximum {
            *count = before.wrapping_add(1);
        }
        // A counter that is not zero lies in a touched chunk: its state's cache line can wait.
        if before == 0 {
            self.touch(entry);
        }
        Some(before)
    }

    #[cold]
    fn touch(&mut self, entry: u32) {
        let index = usize::try_from(entry).unwrap_or(usize::MAX);
        if let Some(state) = self.states.get_mut(index)
            && !state.touched
        {
            state.touched = true;
            self.touched.push(entry);
        }
    }

    /// What leads to a chunk, which gets its memory unless it has it. None beyond the device and
    /// without memory, which is counted as a miss.
    #[inline(never)]
    fn find_chunk(&mut self, chunk: usize) -> Option<u32> {
        let found = match self.entry(chunk) {
            Some(0) => self.add_chunk(chunk).ok(),
            entry => entry,
        };
        if found.is_none() {
            self.miss();
        }
        found
    }

    /// Notes that an access was not counted.
    pub(crate) fn miss(&mut self) {
        self.missed = self.missed.saturating_add(1);
    }

    /// Accesses that were not counted since this was last asked.
    pub(crate) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// Gives a chunk its memory and returns what leads to it.
    #[cold]
    fn add_chunk(&mut self, chunk: usize) -> Result<u32, NoMemory> {
        let entry = u32::try_from(self.chunks.len()).map_err(|_| NoMemory)?;
        self.chunks.try_reserve(1)?;
        self.states.try_reserve(1)?;
        let untouched = self.states.len().saturating_sub(self.touched.len());
        self.touched.try_reserve(untouched.saturating_add(1))?;
        *self.entry_mut(chunk)? = entry;
        self.push_chunk(u64::try_from(chunk).unwrap_or(u64::MAX) << CHUNK_SHIFT);
        Ok(entry)
    }

    /// Adds a chunk; there is room for it.
    fn push_chunk(&mut self, first_unit: u64) {
        self.chunks.push([0; CHUNK_COUNTERS]);
        self.states.push(ChunkState {
            first_unit,
            touched: false,
        });
    }

    /// Whether an access was counted since all counters were zero.
    pub(crate) fn any_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Takes a unit's count and starts it again from zero.
    pub(crate) fn take(&mut self, unit: UnitIndex) -> u32 {
        let (chunk, counter) = Self::split(unit);
        let entry = self.entry(chunk).filter(|entry| *entry != 0);
        let index = entry.and_then(|entry| usize::try_from(entry).ok());
        index
            .and_then(|index| self.chunks.get_mut(index)?.get_mut(counter))
            .map_or(0, std::mem::take)
    }

    /// Ends an epoch: `hottest` takes the units that counted at least `threshold` (and at least
    /// one access).
    pub(crate) fn take_hot(&mut self, threshold: u32, clearing: Clearing, hottest: &mut Hottest) {
        let threshold = threshold.max(1);
        for entry in &self.touched {
            let index = usize::try_from(*entry).unwrap_or(usize::MAX);
            let (Some(chunk), Some(state)) =
                (self.chunks.get_mut(index), self.states.get_mut(index))
            else {
                continue;
            };
            for (count, unit) in chunk.iter_mut().zip(state.first_unit..) {
                if *count >= threshold {
                    hottest.add(Entry {
                        unit: UnitIndex(unit),
                        count: u64::from(*count),
                    });
                    if clearing == Clearing::Hot {
                        *count = 0;
                    }
                }
            }
            if clearing == Clearing::All {
                state.touched = false;
                chunk.fill(0);
            }
        }
        if clearing == Clearing::All {
            self.touched.clear();
        }
    }
}

/// There is no memory for a counter.
#[derive(Debug, Clone, Copy)]
struct NoMemory;

impl From<TryReserveError> for NoMemory {
    fn from(_: TryReserveError) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// 7 TiB in units of 256 B.
    const MOST_UNITS: u64 = 7 << 32;

    fn counters(units: u64, maximum: u32) -> Counters {
        Counters::new(units, maximum).unwrap()
    }

    fn taken(counters: &mut Counters, threshold: u32) -> Vec<Entry> {
        let mut hottest = Hottest::default();
        counters.take_hot(threshold, Clearing::All, &mut hottest);
        hottest.sort();
        hottest.drain().collect()
    }

    /// What a disable gives back: places of tables and chunks.
    fn places(counters: &Counters) -> usize {
        let places: usize = counters.tables.iter().map(Vec::capacity).sum();
        let first = counters.directory.capacity() + counters.tables.capacity();
        first + places + counters.states.capacity()
    }

    proptest! {
        #[test]
        fn counts_equal_a_map(
            units in proptest::collection::vec(0_u64..5000, 0..800),
            spread in prop::sample::select(vec![1_u64, 4096, 6_001_001]),
            maximum in 1_u32..20,
            threshold in 0_u32..6,
        ) {
            let mut counters = counters(5000 * spread, maximum);
            let mut naive = BTreeMap::<u64, u32>::new();
            for unit in units.iter().map(|unit| unit * unit % 5000 * spread) {
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
            let mut counters = counters(10, 100);
            for unit in [1, 1, 1, 2] {
                counters.increment(UnitIndex(unit));
            }
            counters.take_hot(2, clearing, &mut Hottest::default());
            [1, 2].map(|unit| counters.take(UnitIndex(unit)))
        };
        assert_eq!(left(Clearing::All), [0, 0]);
        assert_eq!(left(Clearing::Hot), [0, 1]);
        assert_eq!(left(Clearing::None), [3, 1]);
    }

    #[test]
    fn a_unit_beyond_the_device_is_not_counted() {
        let mut counters = counters(10, 100);
        assert_eq!(counters.increment(UnitIndex(1 << 22)), None);
        assert_eq!(counters.increment(UnitIndex(u64::MAX)), None);
        assert_eq!((counters.take_missed(), counters.take_missed()), (2, 0));
        assert!(taken(&mut counters, 0).is_empty());
    }

    #[test]
    fn a_taken_counter_starts_again() {
        let mut counters = counters(10, 100);
        counters.increment(UnitIndex(3));
        counters.increment(UnitIndex(3));
        assert_eq!(counters.take(UnitIndex(3)), 2);
        assert_eq!(counters.increment(UnitIndex(3)), Some(0));
        assert_eq!(counters.take(UnitIndex(9)), 0);
    }

    #[test]
    fn ends_cost_by_what_was_used() {
        let mut counters = counters(MOST_UNITS, 100);
        let at_first = places(&counters);
        assert!(at_first < DIRECTORY_CHUNKS + (1 << 14), "{at_first}");
        for table in 0..100 {
            counters.increment(UnitIndex(table << (CHUNK_SHIFT + TABLE_SHIFT)));
        }
        assert!(places(&counters) < at_first + 100 * TABLE_CHUNKS);
        assert_eq!(counters.touched.len(), 100);
        assert_eq!(taken(&mut counters, 1).len(), 100);
        assert!(counters.touched.is_empty());
    }

    #[test]
    fn more_counters_than_there_can_be_are_refused() {
        assert!(Counters::new(u64::MAX, 100).is_err());
        assert!(Counters::new(1 << 60, 100).is_err());
    }
}
