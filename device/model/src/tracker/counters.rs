// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One counter for each unit of the device's memory.
//!
//! Counters come in chunks, which take memory where units are accessed, and are found through
//! tables that take memory in the same way, so that a disable costs by what was used, not by the
//! device's size. What leads to a chunk carries the stamp of the last epoch in which the chunk was touched: a chunk of an earlier epoch
//! starts again from zero when it is touched, so that an epoch's end costs by the hot units.

use std::collections::TryReserveError;

use chmu_spec::access::Access;
use chmu_spec::address::{Dpa, UnitIndex};
use chmu_spec::hotlist::Entry;
use chmu_spec::unit_size::UnitSize;

use super::hot_units::HotUnits;
use super::hottest::Hottest;

/// log2 of the counters in a chunk: 2 KiB.
pub(super) const CHUNK_SHIFT: u32 = 9;
const CHUNK_COUNTERS: usize = 1 << CHUNK_SHIFT;
const CHUNK_MASK: u64 = (1 << CHUNK_SHIFT) - 1;

/// log2 of the chunks that a table leads to.
const TABLE_SHIFT: u32 = 12;
const TABLE_CHUNKS: usize = 1 << TABLE_SHIFT;
const TABLE_MASK: usize = TABLE_CHUNKS - 1;

/// Chunks that are there from the start: all of them for up to 2 Mi units, and of more units
/// those of one in [`SPARSE`].
const DENSE_CHUNKS: usize = 1 << 12;
const SPARSE: usize = 256;

/// Stamp of chunks that were not touched since the counters are there.
const NEVER: u32 = 0;

type Table = Vec<ChunkLink>;

type Chunk = [u32; CHUNK_COUNTERS];

/// Leads to a chunk.
#[derive(Debug, Clone, Copy, Default)]
struct ChunkLink {
    /// Epoch in which the chunk was touched last.
    stamp: u32,
    /// Place in [`Counters::chunks`]; 0 for a chunk without memory.
    place: u32,
}

/// Which counters start again from zero at the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clearing {
    All,
    /// Those of hot units.
    Hot,
    None,
}

/// Where a counter lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CounterPlace {
    /// Place of its chunk.
    pub(super) chunk: usize,
    /// Place in the chunk.
    pub(super) counter: usize,
}

/// A request that was counted, and what makes it stand out.
#[derive(Debug)]
pub(crate) struct Counted<'a> {
    /// The unit that was accessed.
    pub(crate) unit: UnitIndex,
    /// Its counter, which counts the request.
    pub(crate) count: &'a mut u32,
    hot: &'a mut HotUnits,
    place: CounterPlace,
}

impl Counted<'_> {
    /// Has the end of the epoch look at the unit.
    pub(crate) fn note_hot(&mut self) {
        self.hot.note(self.place);
    }
}

/// One saturating counter for each unit; memory is taken where units are accessed.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Empty where no unit was accessed.
    tables: Vec<Table>,
    /// The first of them belongs to no unit.
    chunks: Vec<Chunk>,
    hot: HotUnits,
    /// The running epoch; never [`NEVER`].
    epoch: u32,
    /// A request was counted since all counters were zero.
    any_touched: bool,
    maximum: u32,
    /// log2 of the bytes of a unit.
    unit_shift: u8,
    /// Accesses whose counter could not be had.
    missed: u64,
}

/// The counters as the loop over accesses sees them; what it uses at each turn stays in registers.
struct Touched<'a> {
    chunks: &'a mut [Chunk],
    hot: &'a mut HotUnits,
    epoch: u32,
    maximum: u32,
    unit_shift: u8,
}

impl Touched<'_> {
    /// Counts accesses as [`Counters::count_touched`] does; `link` finds chunks.
    #[inline]
    fn count<'a>(
        &mut self,
        accesses: &'a [Access<Dpa>],
        link: impl Fn(usize) -> ChunkLink,
        is_event: &impl Fn(u32) -> bool,
        act: &mut impl FnMut(Counted<'_>),
    ) -> Option<(UnitIndex, &'a [Access<Dpa>])> {
        let mut later = accesses;
        while let [access, rest @ ..] = later {
            let unit = UnitIndex(access.word() >> (self.unit_shift & 63));
            let (number, counter) = Counters::split(unit);
            let link = link(number);
            let place = usize::try_from(link.place).unwrap_or(usize::MAX);
            let chunk = self.chunks.get_mut(place);
            let Some(count) = chunk
                .filter(|_| link.stamp == self.epoch)
                .and_then(|chunk| chunk.get_mut(counter))
            else {
                return Some((unit, later));
            };
            let before = *count;
            *count = before.wrapping_add(u32::from(before < self.maximum));
            if is_event(before) {
                act(Counted {
                    unit,
                    count,
                    hot: self.hot,
                    place: CounterPlace {
                        chunk: place,
                        counter,
                    },
                });
            }
            later = rest;
        }
        None
    }
}

impl Counters {
    /// Counters for `units` units, each at most `maximum`.
    ///
    /// # Errors
    /// Fails when there is no memory for all of them, or for one in 256 where these are more
    /// than 8 MiB.
    pub(crate) fn new(
        units: u64,
        unit_size: UnitSize,
        maximum: u32,
    ) -> Result<Self, TryReserveError> {
        let chunks = usize::try_from(units.div_ceil(1 << CHUNK_SHIFT)).unwrap_or(usize::MAX);
        let from_the_start = chunks.min(DENSE_CHUNKS).max(chunks.div_ceil(SPARSE));
        let mut counters = Self {
            tables: Vec::new(),
            chunks: Vec::new(),
            hot: HotUnits::default(),
            epoch: NEVER.wrapping_add(1),
            any_touched: false,
            maximum,
            unit_shift: unit_size.log2_bytes(),
            missed: 0,
        };
        let tables = chunks.div_ceil(TABLE_CHUNKS);
        counters.tables.try_reserve_exact(tables)?;
        counters.tables.resize_with(tables, Table::new);
        counters
            .chunks
            .try_reserve_exact(from_the_start.saturating_add(1))?;
        counters.hot.reserve_chunk()?;
        counters.push_chunk(0);
        Ok(counters)
    }

    /// The chunk of a unit, by its number in the device, and the place in the chunk.
    #[inline]
    fn split(unit: UnitIndex) -> (usize, usize) {
        let place = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        (place(unit.0 >> CHUNK_SHIFT), place(unit.0 & CHUNK_MASK))
    }

    /// The table that leads to a chunk, and the place in it.
    const fn split_chunk(chunk: usize) -> (usize, usize) {
        (chunk >> TABLE_SHIFT, chunk & TABLE_MASK)
    }

    /// What leads to a chunk.
    #[inline]
    fn link(tables: &[Table], chunk: usize) -> ChunkLink {
        let (table, place) = Self::split_chunk(chunk);
        let link = tables.get(table).and_then(|table| table.get(place));
        link.copied().unwrap_or_default()
    }

    /// What leads to a chunk, to be set.
    fn link_mut(&mut self, chunk: usize) -> Result<&mut ChunkLink, NoMemory> {
        let (table, place) = Self::split_chunk(chunk);
        let table = self.tables.get_mut(table).ok_or(NoMemory)?;
        if table.is_empty() {
            table.try_reserve_exact(TABLE_CHUNKS)?;
            table.resize(TABLE_CHUNKS, ChunkLink::default());
        }
        table.get_mut(place).ok_or(NoMemory)
    }

    /// Counts accesses. Where the count before one of them is an event, `act` sees that access.
    /// Those beyond the device, or without memory for their counter, are missed.
    #[inline]
    pub(crate) fn count(
        &mut self,
        accesses: &[Access<Dpa>],
        is_event: impl Fn(u32) -> bool,
        mut act: impl FnMut(Counted<'_>),
    ) {
        let mut rest = accesses;
        while let Some((unit, from_unit_on)) = self.count_touched(rest, &is_event, &mut act) {
            rest = from_unit_on;
            let (chunk, _) = Self::split(unit);
            if self.touch(chunk).is_err() {
                self.miss();
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }

    /// Counts accesses up to the first one to a chunk that is not touched in this epoch; returns
    /// its unit, and the accesses from there on.
    #[inline]
    fn count_touched<'a>(
        &mut self,
        accesses: &'a [Access<Dpa>],
        is_event: &impl Fn(u32) -> bool,
        act: &mut impl FnMut(Counted<'_>),
    ) -> Option<(UnitIndex, &'a [Access<Dpa>])> {
        let mut touched = Touched {
            chunks: &mut self.chunks,
            hot: &mut self.hot,
            epoch: self.epoch,
            maximum: self.maximum,
            unit_shift: self.unit_shift,
        };
        match self.tables.as_slice() {
            // Devices of up to 2 Mi units: one step less for each access.
            [only] => {
                let link = |chunk: usize| only.get(chunk).copied().unwrap_or_default();
                touched.count(accesses, link, is_event, act)
            }
            tables => {
                let link = |chunk| Self::link(tables, chunk);
                touched.count(accesses, link, is_event, act)
            }
        }
    }

    /// Notes that an access was not counted.
    pub(crate) fn miss(&mut self) {
        self.missed = self.missed.saturating_add(1);
    }

    /// Accesses that were not counted since this was last asked.
    pub(crate) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// Readies a chunk that is touched for the first time in this epoch: it starts from zero, in
    /// memory that it gets unless it has it. Fails without memory, and beyond the device.
    #[cold]
    fn touch(&mut self, chunk: usize) -> Result<(), NoMemory> {
        let place = self.link_mut(chunk)?.place;
        if place == 0 {
            self.add_chunk(chunk)?;
        } else if let Some(counts) = usize::try_from(place)
            .ok()
            .and_then(|place| self.chunks.get_mut(place))
        {
            counts.fill(0);
        }
        self.link_mut(chunk)?.stamp = self.epoch;
        self.any_touched = true;
        Ok(())
    }

    /// Gives a chunk its memory.
    fn add_chunk(&mut self, chunk: usize) -> Result<(), NoMemory> {
        let place = u32::try_from(self.chunks.len()).map_err(|_| NoMemory)?;
        self.chunks.try_reserve(1)?;
        self.hot.reserve_chunk()?;
        self.link_mut(chunk)?.place = place;
        self.push_chunk(u64::try_from(chunk).unwrap_or(u64::MAX) << CHUNK_SHIFT);
        Ok(())
    }

    /// Adds a chunk; there is room for it.
    fn push_chunk(&mut self, first_unit: u64) {
        self.chunks.push([0; CHUNK_COUNTERS]);
        self.hot.push_chunk(first_unit);
    }

    /// Whether an access was counted since all counters were zero.
    pub(crate) fn any_touched(&self) -> bool {
        self.any_touched
    }

    /// Takes a unit's count and starts it again from zero.
    pub(crate) fn take(&mut self, unit: UnitIndex) -> u32 {
        let (chunk, counter) = Self::split(unit);
        let place = self.touched_place(chunk);
        let chunk = place.and_then(|place| self.chunks.get_mut(place));
        chunk
            .and_then(|chunk| chunk.get_mut(counter))
            .map_or(0, std::mem::take)
    }

    /// The place of a chunk that was touched in this epoch.
    fn touched_place(&self, chunk: usize) -> Option<usize> {
        let link = Self::link(&self.tables, chunk);
        let touched = Some(link).filter(|link| link.stamp == self.epoch)?;
        usize::try_from(touched.place).ok()
    }

    /// Notes those units as hot, and no other, that count at least `threshold` by now.
    pub(crate) fn note_anew(&mut self, threshold: u32) {
        self.hot.clear();
        for first_unit in self.hot.first_units() {
            let (number, _) = Self::split(first_unit);
            let Some(chunk) = self.touched_place(number) else {
                continue;
            };
            let counts = self.chunks.get(chunk).into_iter().flatten();
            for (counter, count) in counts.enumerate() {
                if *count >= threshold {
                    self.hot.note(CounterPlace { chunk, counter });
                }
            }
        }
    }

    /// Ends an epoch: `hottest` takes the units that were noted as hot.
    pub(crate) fn take_hot(&mut self, clearing: Clearing, hottest: &mut Hottest) {
        let chunks = &mut self.chunks;
        self.hot.each(|unit, place| {
            let chunk = chunks.get_mut(place.chunk);
            if let Some(count) = chunk.and_then(|chunk| chunk.get_mut(place.counter)) {
                hottest.add(Entry {
                    unit,
                    count: u64::from(*count),
                });
                if clearing == Clearing::Hot {
                    *count = 0;
                }
            }
        });
        if clearing != Clearing::None {
            self.hot.clear();
        }
        if clearing == Clearing::All && self.any_touched {
            self.any_touched = false;
            self.begin_epoch();
        }
    }

    /// Makes all counters zero.
    fn begin_epoch(&mut self) {
        if let Some(next) = self.epoch.checked_add(1) {
            self.epoch = next;
            return;
        }
        // The stamps start again: none of an earlier epoch may be taken for one to come.
        self.epoch = NEVER.wrapping_add(1);
        let links = self.tables.iter_mut().flatten();
        for link in links {
            link.stamp = NEVER;
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
mod tests;
