// SPDX-License-Identifier: GPL-2.0-or-later
//! The cache that stands between a vCPU and memory: most accesses end here, unreported.
//!
//! It is a physically tagged, direct-mapped, write-back, write-allocate cache of 64-byte lines.
//! Asking QEMU for a physical address costs several times as much as everything else, so a second
//! array remembers which virtual line is which cached line, and answers most accesses alone.

use chmu_ring::LINE_BYTES;

/// In a translation: the cached line is dirty already, so a store has nothing to do either.
const KNOWN_DIRTY: u64 = 1;
/// Canonical addresses repeat their bit 56, or 47, in the bits above. All but one of the copies
/// make room for the generation.
const FIRST_GENERATION: u64 = 1 << 57;
const LAST_GENERATION: u64 = 63 << 57;
/// No translation has this value: it is of generation 0.
const NO_TRANSLATION: u64 = 0;

/// A line of the cache; its address is a multiple of 64, which leaves room for flags.
#[derive(Debug, Clone, Copy, Default)]
struct CachedLine {
    address_and_flags: u64,
    /// Where the line's translation was put last. Each cached line has one at most.
    translation: usize,
}

impl CachedLine {
    const VALID: u64 = 1;
    const DIRTY: u64 = 2;

    fn holds(self, line_address: u64) -> bool {
        self.address_and_flags | Self::DIRTY == line_address | Self::VALID | Self::DIRTY
    }

    fn is_dirty(self) -> bool {
        self.address_and_flags & Self::DIRTY != 0
    }

    fn address(self) -> u64 {
        self.address_and_flags & !(LINE_BYTES - 1)
    }
}

/// What an access made the cache do to memory, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MemoryTraffic {
    /// Physical address of the dirty line that had to leave.
    pub(crate) written_back: Option<u64>,
    /// Physical address of the line that was filled, by a load or a store.
    pub(crate) filled: Option<u64>,
}

/// The cache of one vCPU.
#[derive(Debug)]
pub(crate) struct CacheFilter {
    /// By virtual line: its address, the generation that it was learnt in, and `KNOWN_DIRTY`.
    translations: Box<[u64]>,
    /// The lines, each at its physical line's number modulo their count.
    lines: Box<[CachedLine]>,
    generation: u64,
}

impl CacheFilter {
    /// An empty cache of `line_count` lines, a power of two.
    pub(crate) fn new(line_count: usize) -> Self {
        debug_assert!(line_count.is_power_of_two());
        Self {
            translations: vec![NO_TRANSLATION; line_count].into(),
            lines: vec![CachedLine::default(); line_count].into(),
            generation: FIRST_GENERATION,
        }
    }

    /// Whether an access to the line of `virtual_address` stays inside the cache and changes
    /// nothing. If not, [`CacheFilter::access`] has to be called.
    #[inline]
    pub(crate) fn is_settled(&self, virtual_address: u64, is_store: bool) -> bool {
        let clean = self.translation_of(virtual_address);
        let found = self.translations.get(self.place(virtual_address));
        found.is_some_and(|found| *found == clean | KNOWN_DIRTY || !is_store && *found == clean)
    }

    /// An access to RAM at `virtual_address`, which is `physical_address`.
    pub(crate) fn access(
        &mut self,
        virtual_address: u64,
        physical_address: u64,
        is_store: bool,
    ) -> MemoryTraffic {
        let translation = self.translation_of(virtual_address);
        let translation_place = self.place(virtual_address);
        let line_address = physical_address & !(LINE_BYTES - 1);
        let line_place = self.place(physical_address);
        let (Some(line), mut traffic) = (self.lines.get_mut(line_place), MemoryTraffic::default())
        else {
            return MemoryTraffic::default();
        };
        let former_place = line.translation;
        if !line.holds(line_address) {
            traffic.written_back = line.is_dirty().then(|| line.address());
            traffic.filled = Some(line_address);
            line.address_and_flags = line_address | CachedLine::VALID;
        }
        if is_store {
            line.address_and_flags |= CachedLine::DIRTY;
        }
        line.translation = translation_place;
        let known_dirty = if line.is_dirty() { KNOWN_DIRTY } else { 0 };
        // A translation must not outlive its line, nor the line's only reference to it.
        self.set_translation(former_place, NO_TRANSLATION);
        self.set_translation(translation_place, translation | known_dirty);
        traffic
    }

    /// Forgets which virtual line is which cached line; the lines stay.
    pub(crate) fn forget_translations(&mut self) {
        if self.generation == LAST_GENERATION {
            self.translations.fill(NO_TRANSLATION);
            self.generation = FIRST_GENERATION;
        } else {
            self.generation += FIRST_GENERATION;
        }
    }

    /// Empties the cache. Dirty lines are dropped.
    pub(crate) fn clear(&mut self) {
        self.translations.fill(NO_TRANSLATION);
        self.lines.fill(CachedLine::default());
        self.generation = FIRST_GENERATION;
    }

    #[inline]
    fn translation_of(&self, virtual_address: u64) -> u64 {
        (virtual_address & !(LINE_BYTES - 1)) ^ self.generation
    }

    /// Both arrays have the same power-of-two length.
    #[inline]
    fn place(&self, address: u64) -> usize {
        // The plugin runs where QEMU's TCG for x86-64 guests does: usize has 64 bits.
        #[allow(clippy::cast_possible_truncation)]
        let line = (address / LINE_BYTES) as usize;
        line & self.translations.len().wrapping_sub(1)
    }

    fn set_translation(&mut self, place: usize, translation: u64) {
        if let Some(word) = self.translations.get_mut(place) {
            *word = translation;
        }
    }
}

#[cfg(test)]
mod tests;
