// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames that a dry run has decided on: runs of them, so that much memory takes little.

use std::collections::BTreeMap;

use chmu_spec::address::Pfn;

use crate::batch::Folio;

/// Runs that are remembered, of which none touches another.
const RUNS_MAX: usize = 1 << 20;

/// A set of frames.
#[derive(Debug, Clone, Default)]
pub(super) struct FrameSet {
    /// First frame of each run, and the frame after its last.
    runs: BTreeMap<u64, u64>,
}

impl FrameSet {
    /// Adds a folio's frames; false where there are too many runs to remember another one.
    #[must_use]
    pub(super) fn insert(&mut self, folio: Folio) -> bool {
        let (mut start, mut end) = bounds(folio);
        let touched = self.runs.range(..=end).rev();
        let touched = touched.take_while(|&(_, &last)| last >= start);
        let touched: Vec<_> = touched.map(|(&first, &last)| (first, last)).collect();
        if touched.is_empty() && self.runs.len() >= RUNS_MAX {
            return false;
        }
        for (first, last) in touched {
            self.runs.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        self.runs.insert(start, end);
        true
    }

    /// Whether the folio's first frame is in the set.
    pub(super) fn holds(&self, folio: Folio) -> bool {
        let head = folio.head.0;
        let run = self.runs.range(..=head).next_back();
        run.is_some_and(|(_, &end)| head < end)
    }
}

fn bounds(folio: Folio) -> (u64, u64) {
    let Pfn(start) = folio.head;
    (start, start.saturating_add(folio.pages))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn folio(head: u64, pages: u64) -> Folio {
        Folio {
            head: Pfn(head),
            pages,
        }
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_set_holds(
            folios in prop::collection::vec((0..80_u64, 1..9_u64), 0..40),
        ) {
            let (mut set, mut naive) = (FrameSet::default(), BTreeSet::new());
            for (head, pages) in folios {
                prop_assert!(set.insert(folio(head, pages)));
                naive.extend(head..head + pages);
            }
            for head in 0..100 {
                prop_assert_eq!(set.holds(folio(head, 1)), naive.contains(&head));
            }
            let gaps = naive.iter().filter(|frame| !naive.contains(&(*frame + 1)));
            prop_assert_eq!(set.runs.len(), gaps.count());
        }
    }

    #[test]
    fn it_is_bounded_and_says_so() {
        let mut set = FrameSet {
            runs: (0..RUNS_MAX as u64)
                .map(|run| (4 * run, 4 * run + 1))
                .collect(),
        };
        let far = folio(1 << 40, 1);
        assert!(!set.insert(far) && !set.holds(far));
        assert!(set.insert(folio(1, 1)));
    }
}
