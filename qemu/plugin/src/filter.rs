// SPDX-License-Identifier: GPL-2.0-or-later
//! The cache that stands between a vCPU and memory: most accesses end here, unreported.
//!
//! It is a physically tagged, set-associative, write-back, write-allocate cache of 64-byte lines.
//! Asking QEMU for a physical address costs several times as much as everything else, so a second
//! array remembers which virtual line is which cached line, and answers most accesses alone. It
//! knows only lines that count as accessed lately, so that its answers owe the cache nothing.

mod set;

use chmu_ring::LINE_BYTES;

use self::set::Set;
pub(crate) use self::set::WAYS;

/// In a translation: the cached line is dirty already, so a store has nothing to do either.
const KNOWN_DIRTY: u64 = 1;
/// Canonical addresses repeat their bit 56, or 47, in the bits above. All but one of the copies
/// make room for the generation.
const FIRST_GENERATION: u64 = 1 << 57;
const LAST_GENERATION: u64 = 63 << 57;
/// No translation has this value: it is of generation 0.
const NO_TRANSLATION: u64 = 0;

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
    /// The lines, each in the set of its physical line's number modulo their count.
    sets: Box<[Set]>,
    generation: u64,
}

impl CacheFilter {
    /// An empty cache of `line_count` lines, a power of two, in sets of [`WAYS`].
    pub(crate) fn new(line_count: usize) -> Self {
        debug_assert!(line_count.is_power_of_two() && line_count >= WAYS);
        Self {
            translations: vec![NO_TRANSLATION; line_count].into(),
            sets: vec![Set::default(); line_count / WAYS].into(),
            generation: FIRST_GENERATION,
        }
    }

    /// Whether an access to the line of `virtual_address` stays inside the cache and changes
    /// nothing. If not, [`CacheFilter::access`] has to be called.
    #[inline]
    pub(crate) fn is_settled(&self, virtual_address: u64, is_store: bool) -> bool {
        let clean = self.translation_of(virtual_address);
        let found = self
            .translations
            .get(place(virtual_address, self.translations.len()));
        found.is_some_and(|found| *found == clean | KNOWN_DIRTY || !is_store && *found == clean)
    }

    /// An access to RAM at `virtual_address`, which is `physical_address`.
    pub(crate) fn access(
        &mut self,
        virtual_address: u64,
        physical_address: u64,
        is_store: bool,
    ) -> MemoryTraffic {
        let mut translation = self.translation_of(virtual_address);
        let line_address = physical_address & !(LINE_BYTES - 1);
        let set_place = place(physical_address, self.sets.len());
        let (Some(set), mut traffic) = (self.sets.get_mut(set_place), MemoryTraffic::default())
        else {
            return MemoryTraffic::default();
        };
        let way = set.way_of(line_address).unwrap_or_else(|| {
            let (way, written_back) = set.replace(line_address);
            traffic.written_back = written_back;
            traffic.filled = Some(line_address);
            way
        });
        if is_store {
            set.set_dirty(way);
        }
        if set.is_dirty(way) {
            translation |= KNOWN_DIRTY;
        }
        // A translation must not outlive its line, nor the line's only reference to it.
        let former = set.set_virtual_line(way, virtual_line(virtual_address));
        forget(&mut self.translations, former);
        if let Some(forgotten) = set.touch(way) {
            for line in forgotten {
                forget(&mut self.translations, line);
            }
        }
        let translation_place = place(virtual_address, self.translations.len());
        if let Some(word) = self.translations.get_mut(translation_place) {
            *word = translation;
        }
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
        self.sets.fill(Set::default());
        self.generation = FIRST_GENERATION;
    }

    #[inline]
    fn translation_of(&self, virtual_address: u64) -> u64 {
        (virtual_address & !(LINE_BYTES - 1)) ^ self.generation
    }
}

/// Where the line of an address belongs in an array whose length is a power of two.
#[inline]
fn place(address: u64, length: usize) -> usize {
    // The plugin runs where QEMU's TCG for x86-64 guests does: usize has 64 bits.
    #[allow(clippy::cast_possible_truncation)]
    let line = (address / LINE_BYTES) as usize;
    line & length.wrapping_sub(1)
}

/// The low bits of the number of a virtual line; above the largest array's length, so many that
/// two lines in use hardly ever agree in them.
#[inline]
#[allow(clippy::cast_possible_truncation)]
fn virtual_line(address_or_translation: u64) -> u32 {
    (address_or_translation / LINE_BYTES) as u32
}

/// Takes the translation of a virtual line away, unless that of another has taken its place. One too
/// many costs a question to QEMU.
#[inline]
fn forget(translations: &mut [u64], line: u32) {
    let place = place(u64::from(line) * LINE_BYTES, translations.len());
    if let Some(word) = translations.get_mut(place) {
        let is_another = virtual_line(*word) != line;
        // No branch: nobody could predict it.
        *word &= 0_u64.wrapping_sub(u64::from(is_another));
    }
}

#[cfg(test)]
mod tests;
