// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A counter for each page, which takes memory only where there were accesses.

use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a page: what hosts manage their memory by.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// Counters that take memory together: those of 2 MiB.
const BLOCK_PAGES: u64 = 512;
/// Blocks at most: 512 MiB of counters, for 256 GiB of memory that was accessed.
const MAX_BLOCKS: usize = 1 << 17;

/// Counters of a run of pages.
type Block = Vec<u64>;

/// How often each page was accessed.
#[derive(Debug, Default)]
pub(crate) struct PageCounts {
    /// Places in `blocks`, by the number of the first frame in blocks.
    places: BTreeMap<u64, usize>,
    blocks: Vec<Block>,
    /// The block that was counted in last: accesses come in runs.
    last: Option<(u64, usize)>,
    accesses: u64,
    uncounted: u64,
}

impl PageCounts {
    /// Counts an access to a frame.
    pub(crate) fn add(&mut self, frame: u64) {
        let (number, inside) = split(frame);
        let place = match self.last {
            Some((last, place)) if last == number => Some(place),
            _ => self.place(number),
        };
        let block = place.and_then(|place| self.blocks.get_mut(place));
        match block.and_then(|block| block.get_mut(inside)) {
            Some(count) => {
                *count = count.saturating_add(1);
                self.accesses = self.accesses.saturating_add(1);
            }
            None => self.uncounted = self.uncounted.saturating_add(1),
        }
    }

    /// Where a block is, made if there is room.
    fn place(&mut self, number: u64) -> Option<usize> {
        let known = self.places.get(&number).copied();
        let place = known.or_else(|| self.make(number))?;
        self.last = Some((number, place));
        Some(place)
    }

    fn make(&mut self, number: u64) -> Option<usize> {
        let pages = usize::try_from(BLOCK_PAGES).ok()?;
        let place = self.blocks.len();
        let mut block = Block::new();
        if place >= MAX_BLOCKS || block.try_reserve_exact(pages).is_err() {
            return None;
        }
        block.resize(pages, 0);
        self.blocks.push(block);
        self.places.insert(number, place);
        Some(place)
    }

    /// Accesses counted: the sum over all pages.
    pub(crate) fn accesses(&self) -> u64 {
        self.accesses
    }

    /// Accesses for which there was no counter.
    pub(crate) fn uncounted(&self) -> u64 {
        self.uncounted
    }

    /// The first `limit` frames of a range that were accessed, ascending, each with its count; and
    /// the next one, if there are more.
    pub(crate) fn page_of(
        &self,
        frames: Range<u64>,
        limit: usize,
    ) -> (Vec<(u64, u64)>, Option<u64>) {
        let mut counted = self.counted(frames);
        let page = counted.by_ref().take(limit).collect();
        (page, counted.next().map(|(frame, _)| frame))
    }

    /// Frames of a range that were accessed.
    fn counted(&self, frames: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
        let (first, _) = split(frames.start);
        let last = split(frames.end).0.max(first);
        let blocks = self.places.range(first..=last);
        let blocks = blocks.filter_map(|(number, place)| Some((*number, self.blocks.get(*place)?)));
        blocks
            .flat_map(|(number, block)| {
                let start = number.saturating_mul(BLOCK_PAGES);
                let frames = (0..).map(move |inside| start.saturating_add(inside));
                frames.zip(block.iter().copied())
            })
            .filter(move |(frame, count)| *count > 0 && frames.contains(frame))
    }
}

/// The number of a frame's block, and the frame's place in it.
fn split(frame: u64) -> (u64, usize) {
    let inside = usize::try_from(frame % BLOCK_PAGES).unwrap_or(usize::MAX);
    (frame / BLOCK_PAGES, inside)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the answers are cut, they are those of a plain map.
        #[test]
        fn counts_are_those_of_a_map(
            touched in prop::collection::vec(
                prop_oneof![0..40_u64, 500..530_u64, 1 << 40..(1 << 40) + 3_u64, Just(u64::MAX)],
                0..300,
            ),
            (start, end) in (0..600_u64, 0..600_u64),
            limit in 1..9_usize,
        ) {
            let mut counts = PageCounts::default();
            let mut naive = BTreeMap::<u64, u64>::new();
            for frame in &touched {
                counts.add(*frame);
                *naive.entry(*frame).or_default() += 1;
            }
            prop_assert_eq!(counts.accesses(), touched.len() as u64);
            prop_assert_eq!(counts.uncounted(), 0);
            for range in [start..end, 0..u64::MAX, 510..515] {
                let inside = naive.iter().filter(|(frame, _)| range.contains(frame));
                let expected: Vec<_> = inside.map(|(frame, count)| (*frame, *count)).collect();
                let mut found = Vec::new();
                let mut next = Some(range.start);
                while let Some(from) = next {
                    let (page, more) = counts.page_of(from..range.end, limit);
                    prop_assert!(page.len() <= limit);
                    prop_assert_eq!(more.is_some() && page.len() < limit, false);
                    found.extend(page);
                    next = more;
                }
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn memory_is_taken_for_what_was_accessed() {
        let mut counts = PageCounts::default();
        for frame in [0, 511, 1 << 50] {
            counts.add(frame);
        }
        assert_eq!(counts.blocks.len(), 2);
    }

    #[test]
    fn accesses_without_a_counter_are_counted() {
        let mut counts = PageCounts::default();
        for number in 0..MAX_BLOCKS as u64 {
            counts.places.insert(number, 0);
            counts.blocks.push(Block::new());
        }
        counts.add(MAX_BLOCKS as u64 * BLOCK_PAGES);
        assert_eq!((counts.accesses(), counts.uncounted()), (0, 1));
    }
}
