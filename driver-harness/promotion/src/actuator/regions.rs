// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames as ranges: what DAMON takes.

use std::ops::Range;

use chmu_spec::address::Pfn;

/// The frames as ranges of frame numbers: ascending, with a gap between any two.
pub(super) fn coalesce(frames: &[Pfn]) -> Vec<Range<u64>> {
    let mut numbers: Vec<_> = frames.iter().map(|frame| frame.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut regions: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        let end = number.saturating_add(1);
        match regions.last_mut() {
            Some(last) if last.end == number => last.end = end,
            _ => regions.push(number..end),
        }
    }
    regions
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn regions_hold_the_frames_and_nothing_else(
            frames in proptest::collection::vec(0..200_u64, 0..100),
        ) {
            let regions = coalesce(&frames.iter().map(|&frame| Pfn(frame)).collect::<Vec<_>>());
            let covered: Vec<_> = regions.iter().cloned().flatten().collect();
            let wanted: Vec<_> = BTreeSet::from_iter(frames).into_iter().collect();
            prop_assert_eq!(covered, wanted);
            prop_assert!(regions.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
