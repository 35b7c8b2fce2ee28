// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The units whose counters are hot, found again at the end of the epoch.

use std::collections::TryReserveError;

use chmu_spec::address::UnitIndex;

use super::counters::{CHUNK_SHIFT, CounterPlace};

const CHUNK_WORDS: usize = 1 << (CHUNK_SHIFT - u64::BITS.trailing_zeros());

/// The hot units of a chunk.
#[derive(Debug, Clone, Copy)]
struct HotChunk {
    /// Unit of its first counter.
    first_unit: u64,
    /// One bit for each counter.
    bits: [u64; CHUNK_WORDS],
    /// It is one of [`HotUnits::listed`].
    listed: bool,
}

/// The units whose counters are hot. It takes its memory with the chunks: noting a unit takes
/// none.
#[derive(Debug, Default)]
pub(super) struct HotUnits {
    chunks: Vec<HotChunk>,
    /// Places of the chunks that have hot units; has room for all chunks there are.
    listed: Vec<u32>,
}

impl HotUnits {
    /// Makes room for one more chunk.
    pub(super) fn reserve_chunk(&mut self) -> Result<(), TryReserveError> {
        self.chunks.try_reserve(1)?;
        let unlisted = self.chunks.len().saturating_sub(self.listed.len());
        self.listed.try_reserve(unlisted.saturating_add(1))
    }

    /// Adds a chunk; there is room for it.
    pub(super) fn push_chunk(&mut self, first_unit: u64) {
        self.chunks.push(HotChunk {
            first_unit,
            bits: [0; CHUNK_WORDS],
            listed: false,
        });
    }

    /// Notes that a counter is hot.
    pub(super) fn note(&mut self, place: CounterPlace) {
        let Some(chunk) = self.chunks.get_mut(place.chunk) else {
            return;
        };
        if let Some(word) = chunk.bits.get_mut(place.counter >> 6) {
            *word |= 1 << (place.counter & 63);
        }
        if !chunk.listed {
            chunk.listed = true;
            self.listed
                .push(u32::try_from(place.chunk).unwrap_or(u32::MAX));
        }
    }

    /// The first unit of each chunk; the first chunk belongs to no unit.
    pub(super) fn first_units(&self) -> Vec<UnitIndex> {
        let chunks = self.chunks.iter().skip(1);
        chunks.map(|chunk| UnitIndex(chunk.first_unit)).collect()
    }

    /// Calls `found` with each hot unit and where its counter lies.
    pub(super) fn each(&self, mut found: impl FnMut(UnitIndex, CounterPlace)) {
        for place in &self.listed {
            let chunk = usize::try_from(*place).unwrap_or(usize::MAX);
            let Some(hot) = self.chunks.get(chunk) else {
                continue;
            };
            for (first, bits) in (0_u64..).step_by(64).zip(hot.bits) {
                let mut bits = bits;
                while bits != 0 {
                    let inside = first.saturating_add(u64::from(bits.trailing_zeros()));
                    let counter = usize::try_from(inside).unwrap_or(usize::MAX);
                    let unit = UnitIndex(hot.first_unit.saturating_add(inside));
                    found(unit, CounterPlace { chunk, counter });
                    bits &= bits.wrapping_sub(1);
                }
            }
        }
    }

    /// Forgets all hot units.
    pub(super) fn clear(&mut self) {
        for place in self.listed.drain(..) {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            if let Some(chunk) = self.chunks.get_mut(place) {
                chunk.bits = [0; CHUNK_WORDS];
                chunk.listed = false;
            }
        }
    }
}
