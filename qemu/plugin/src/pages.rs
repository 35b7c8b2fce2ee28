// SPDX-License-Identifier: GPL-2.0-or-later
//! Which page of memory a virtual page is, as a vCPU has learnt it from QEMU: what a translation
//! look-aside buffer is to a processor, and forgotten when that is.

/// Bytes of the smallest page that can be mapped.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Pages that are remembered, a power of two; they take 16 KiB.
const ENTRIES: usize = 1024;
/// Generations are above the bits that tell canonical addresses apart, as those of shortcuts.
const FIRST_GENERATION: u64 = 1 << 57;
const LAST_GENERATION: u64 = 63 << 57;
/// In a frame: it lies in no window, and none of its accesses matters.
const SKIPPED: u64 = 1;

/// Where a virtual address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) physical_address: u64,
    /// What is accessed there does not matter.
    pub(crate) is_skipped: bool,
}

/// The pages that one vCPU knows.
#[derive(Debug)]
pub(crate) struct Pages {
    entries: Box<[Entry]>,
    generation: u64,
}

/// A virtual page and the generation that it was learnt in, and its frame with flags.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    key: u64,
    frame: u64,
}

impl Pages {
    pub(crate) fn new() -> Self {
        Self {
            entries: vec![Entry::default(); ENTRIES].into(),
            generation: FIRST_GENERATION,
        }
    }

    /// Where `virtual_address` leads, if its page is known.
    #[inline]
    pub(crate) fn find(&self, virtual_address: u64) -> Option<Place> {
        let entry = self.entries.get(entry_of(virtual_address))?;
        (entry.key == self.key(virtual_address)).then(|| entry.place(virtual_address))
    }

    /// Takes note of where `virtual_address` leads, and its page with it.
    pub(crate) fn learn(&mut self, virtual_address: u64, place: Place) {
        let key = self.key(virtual_address);
        if let Some(entry) = self.entries.get_mut(entry_of(virtual_address)) {
            let frame = place.physical_address & !(PAGE_BYTES - 1);
            *entry = Entry {
                key,
                frame: frame | (u64::from(place.is_skipped) * SKIPPED),
            };
        }
    }

    /// Forgets all pages.
    pub(crate) fn forget(&mut self) {
        if self.generation == LAST_GENERATION {
            self.entries.fill(Entry::default());
            self.generation = FIRST_GENERATION;
        } else {
            self.generation += FIRST_GENERATION;
        }
    }

    fn key(&self, virtual_address: u64) -> u64 {
        (virtual_address & !(PAGE_BYTES - 1)) ^ self.generation
    }
}

impl Entry {
    fn place(self, virtual_address: u64) -> Place {
        Place {
            physical_address: (self.frame & !(PAGE_BYTES - 1)) + virtual_address % PAGE_BYTES,
            is_skipped: self.frame & SKIPPED != 0,
        }
    }
}

fn entry_of(virtual_address: u64) -> usize {
    // The remainder is below the number of entries.
    #[allow(clippy::cast_possible_truncation)]
    let entry = (virtual_address / PAGE_BYTES % ENTRIES as u64) as usize;
    entry
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Few pages, some of which take each other's entry, at both ends of the address space.
    fn page() -> impl Strategy<Value = u64> {
        let near = (0..8_u64, 0..3_u64).prop_map(|(page, lap)| page + lap * ENTRIES as u64);
        (near, any::<bool>()).prop_map(|(page, is_high)| {
            let high = if is_high { 0xffff_8000_0000_0000 } else { 0 };
            high + page * PAGE_BYTES
        })
    }

    proptest! {
        /// What is found was learnt, last and since everything was forgotten.
        #[test]
        fn what_is_found_is_what_was_learnt(
            steps in prop::collection::vec(
                (page(), 0..PAGE_BYTES, 0..16_u64, any::<bool>(), 0..20), 0..2000),
        ) {
            let mut pages = Pages::new();
            let mut learnt = HashMap::new();
            for (page, offset, frame, is_skipped, kind) in steps {
                let address = page + offset;
                let place = Place { physical_address: frame * PAGE_BYTES + offset, is_skipped };
                match kind {
                    0 => {
                        pages.forget();
                        learnt.clear();
                    }
                    1..8 => {
                        pages.learn(address, place);
                        learnt.insert(page, (frame, is_skipped));
                        prop_assert_eq!(pages.find(address), Some(place));
                    }
                    _ => if let Some(found) = pages.find(address) {
                        let (frame, is_skipped) = learnt[&page];
                        let physical_address = frame * PAGE_BYTES + offset;
                        prop_assert_eq!(found, Place { physical_address, is_skipped });
                    },
                }
            }
        }
    }

    #[test]
    fn generations_come_round_without_old_pages() {
        let mut pages = Pages::new();
        let place = Place {
            physical_address: 0x8000,
            is_skipped: false,
        };
        pages.learn(0x1000, place);
        for _ in 0..2 * (LAST_GENERATION / FIRST_GENERATION) {
            pages.forget();
            assert_eq!(pages.find(0x1000), None);
        }
        assert_eq!(pages.find(0), None);
    }
}
