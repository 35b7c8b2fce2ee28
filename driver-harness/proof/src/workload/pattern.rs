// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a page holds: content that names the page and says whether a write was lost.
//!
//! Every 64-bit word is a mixture of the seed, the page's number and the word's place. The first
//! word of each cache line has the number of writes to that line added.

use chmu_machine::memory::{LINE_WORDS, PAGE_WORDS};

/// The content of every page of one workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Tells the workload's content from that of another.
    pub seed: u64,
}

impl Pattern {
    /// The word at `place` (0 to 511) of page number `page` when its line has been written to
    /// `writes` times.
    pub fn word(self, page: u64, place: u64, writes: u32) -> u64 {
        let name = page.wrapping_mul(PAGE_WORDS).wrapping_add(place);
        let word = mix(self.seed ^ mix(name));
        match place % LINE_WORDS {
            0 => word.wrapping_add(writes.into()),
            _ => word,
        }
    }

    /// How many of the writes to a word, which was written to `writes` times, are missing in what was
    /// found in its place; none where that is no earlier content of it.
    pub fn writes_missing(self, (page, place): (u64, u64), writes: u32, found: u64) -> Option<u32> {
        let missing = self.word(page, place, writes).wrapping_sub(found);
        let missing = u32::try_from(missing).ok()?;
        (place.is_multiple_of(LINE_WORDS) && missing > 0 && missing <= writes).then_some(missing)
    }
}

/// The finaliser of the generator `SplitMix64`: two different inputs never give the same output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_words_are_alike() {
        let pattern = Pattern { seed: 7 };
        let words: HashSet<_> = (0..64)
            .flat_map(|page| (0..PAGE_WORDS).map(move |place| pattern.word(page, place, 0)))
            .collect();
        assert_eq!(words.len() as u64, 64 * PAGE_WORDS);
    }

    #[test]
    fn another_seed_is_other_content() {
        let [one, other] = [1, 2].map(|seed| Pattern { seed }.word(0, 0, 0));
        assert_ne!(one, other);
    }

    #[test]
    fn earlier_content_is_told_from_other_content() {
        let pattern = Pattern { seed: 7 };
        let missing = |found| pattern.writes_missing((3, 8), 5, found);
        for writes in 0..5 {
            assert_eq!(missing(pattern.word(3, 8, writes)), Some(5 - writes));
        }
        let others = [
            pattern.word(3, 8, 5),
            pattern.word(3, 8, 6),
            pattern.word(4, 8, 4),
            0,
        ];
        assert_eq!(others.map(missing), [None; 4]);
    }

    #[test]
    fn only_the_first_word_of_a_line_counts_writes() {
        let pattern = Pattern { seed: 7 };
        for place in 0..PAGE_WORDS {
            let changes = pattern.word(3, place, 5) != pattern.word(3, place, 6);
            assert_eq!(changes, place % LINE_WORDS == 0, "word {place}");
        }
    }
}
