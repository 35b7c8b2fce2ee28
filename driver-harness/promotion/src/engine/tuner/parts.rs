// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory in parts.

use chmu_machine::memory::PAGE_BYTES;
use chmu_spec::address::{Dpa, Pfn};

use crate::report::WatchedRange;

/// Bytes of some memory.
pub(super) fn bytes(ranges: &[WatchedRange]) -> u64 {
    ranges.iter().map(bytes_of).fold(0, u64::saturating_add)
}

fn bytes_of(range: &WatchedRange) -> u64 {
    match *range {
        WatchedRange::Device { bytes, .. } => bytes,
        WatchedRange::Frames { pages, .. } => pages.saturating_mul(PAGE_BYTES),
    }
}

/// One of `parts` equal parts of some memory, in whole pages.
pub(super) fn part_of(ranges: &[WatchedRange], part: u64, parts: u64) -> Vec<WatchedRange> {
    let pages = |range: &WatchedRange| bytes_of(range).div_ceil(PAGE_BYTES);
    let all: u64 = ranges.iter().map(pages).sum();
    let share = |number: u64| {
        let share = u128::from(all) * u128::from(number) / u128::from(parts.max(1));
        u64::try_from(share).unwrap_or(all)
    };
    let (start, end) = (share(part), share(part + 1));
    let mut found = Vec::new();
    let mut before = 0;
    for range in ranges {
        let (first, last) = (before, before + pages(range));
        before = last;
        let (from, to) = (start.max(first), end.min(last));
        if from >= to {
            continue;
        }
        let (skip, count) = (from - first, to - from);
        found.push(match *range {
            WatchedRange::Device {
                member,
                start,
                bytes,
            } => WatchedRange::Device {
                member,
                start: Dpa(start.0 + skip * PAGE_BYTES),
                bytes: (count * PAGE_BYTES).min(bytes - skip * PAGE_BYTES),
            },
            WatchedRange::Frames { start, .. } => WatchedRange::Frames {
                start: Pfn(start.0 + skip),
                pages: count,
            },
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_the_whole(
            lengths in proptest::collection::vec(1..100_u64, 1..5), parts in 1..40_u64,
        ) {
            let mut ranges = Vec::new();
            let mut frames = Vec::new();
            for (number, pages) in (0..).zip(lengths) {
                ranges.push(WatchedRange::Frames { start: Pfn(number * 1000), pages });
                frames.extend(number * 1000..number * 1000 + pages);
            }
            let mut found = Vec::new();
            for part in 0..parts {
                for range in part_of(&ranges, part, parts) {
                    let WatchedRange::Frames { start, pages } = range else { panic!() };
                    found.extend(start.0..start.0 + pages);
                }
            }
            prop_assert_eq!(found, frames);
        }
    }
}
