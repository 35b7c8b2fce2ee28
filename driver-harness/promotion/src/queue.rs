// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames that wait to be promoted, hottest first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chmu_spec::address::Pfn;

/// More frames than this do not wait.
const WAITING_MAX: usize = 1 << 20;

/// A frame that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The frame.
    pub(super) frame: Pfn,
    /// How hot it is: the highest count of those reported.
    pub(super) count: u64,
    /// Its page has been tried already and stayed.
    pub(super) tried: bool,
}

/// Each frame waits once.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    frames: BTreeMap<Pfn, Waiting>,
    order: BTreeSet<(Reverse<u64>, Pfn)>,
    frames_max: usize,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            frames: BTreeMap::new(),
            order: BTreeSet::new(),
            frames_max: WAITING_MAX,
        }
    }
}

impl Queue {
    /// Adds a frame; false when it finds no place.
    pub(super) fn add(&mut self, mut waiting: Waiting) -> bool {
        let frame = waiting.frame;
        if let Some(known) = self.frames.get(&frame) {
            waiting.tried |= known.tried;
            if known.count > waiting.count {
                waiting.count = known.count;
            }
            self.order.remove(&(Reverse(known.count), frame));
        } else if self.frames.len() >= self.frames_max {
            return false;
        }
        self.order.insert((Reverse(waiting.count), frame));
        self.frames.insert(frame, waiting);
        true
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Takes the `limit` hottest, hottest first; among equals by frame.
    pub(super) fn take(&mut self, limit: usize) -> Vec<Waiting> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some((_, frame)) = self.order.pop_first()
        {
            taken.extend(self.frames.remove(&frame));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(frame: u64, count: u64) -> Waiting {
        Waiting {
            frame: Pfn(frame),
            count,
            tried: false,
        }
    }

    proptest! {
        #[test]
        fn the_hottest_come_first_and_each_once(
            reports in proptest::collection::vec((0..50_u64, 0..100_u64), 0..200),
            limit in 0..60_usize,
        ) {
            let mut queue = Queue::default();
            let mut highest = BTreeMap::new();
            for &(frame, count) in &reports {
                prop_assert!(queue.add(waiting(frame, count)));
                let known = highest.entry(frame).or_insert(count);
                *known = count.max(*known);
            }
            let first = queue.take(limit);
            let rest = queue.take(usize::MAX);
            prop_assert_eq!(first.len(), limit.min(highest.len()));
            let all: Vec<_> = first.into_iter().chain(rest).collect();
            prop_assert!(all.is_sorted_by(|a, b| a.count >= b.count));
            let taken: BTreeMap<_, _> =
                all.iter().map(|waiting| (waiting.frame.0, waiting.count)).collect();
            prop_assert_eq!(taken.len(), all.len());
            prop_assert_eq!(taken, highest);
            prop_assert_eq!(queue.len(), 0);
        }
    }

    #[test]
    fn a_frame_that_stayed_once_is_known_when_it_is_reported_again() {
        let mut queue = Queue::default();
        queue.add(Waiting {
            tried: true,
            ..waiting(1, 5)
        });
        queue.add(waiting(1, 9));
        let taken = queue.take(1);
        assert_eq!((taken[0].count, taken[0].tried), (9, true));
    }

    #[test]
    fn a_full_queue_still_learns_of_what_waits() {
        let mut queue = Queue {
            frames_max: 10,
            ..Queue::default()
        };
        for frame in 0..10 {
            assert!(queue.add(waiting(frame, 1)));
        }
        assert!(!queue.add(waiting(u64::MAX, 9)));
        assert!(queue.add(waiting(3, 9)));
        assert_eq!(queue.take(1)[0].frame, Pfn(3));
    }
}
