// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many pages the actuator moves in a given time.
//!
//! A batch costs something by itself, and something for each page. Were the first taken for a part of the
//! second, batches would become smaller, therefore dearer by the page, and smaller again, down to a page
//! each. So the two are told apart, by batches of different sizes.

/// Pages of a batch before any was measured.
const FIRST_PAGES: u64 = 4096;
/// Of several measurements a new one counts for one part in this many.
const WEIGHT: u64 = 4;
/// Until batches of two sizes were measured, one is taken to cost as much by itself as so many pages: a
/// first one of few pages says next to nothing of what a page costs.
const BATCH_PAGES: u64 = 128;
/// Batches whose sizes differ by less than one part in this many say nothing of a cost of their own.
const SIZE_PART: u64 = 8;
/// A page costs at least one part in this many of what it would if batches cost nothing.
const PAGE_PART: u64 = 8;
/// No batch takes longer than this, of about an hour.
const TIME_MAX_NS: u64 = 1 << 42;

/// The actuator's time for a batch and for a page, as far as they are known.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    known: Option<Costs>,
}

#[derive(Debug, Clone, Copy)]
struct Costs {
    batch_ns: u64,
    page_ns: u64,
    /// Batches of two sizes were not measured yet.
    is_guess: bool,
    /// The last batch of another size than the present one, or this: its pages, and its time.
    size: u64,
    took_ns: u64,
}

impl Pace {
    /// Moving, or trying to move, so many pages took so long.
    pub(super) fn measured(&mut self, pages: u64, took_ns: u64) {
        let took_ns = took_ns.min(TIME_MAX_NS);
        if pages == 0 {
            return;
        }
        let page_ns = took_ns / pages.saturating_add(BATCH_PAGES);
        let first = Costs {
            batch_ns: took_ns.saturating_sub(page_ns.saturating_mul(pages)),
            page_ns,
            is_guess: true,
            size: pages,
            took_ns,
        };
        self.known = Some(match self.known {
            None => first,
            Some(known) => known.with(pages, took_ns),
        });
    }

    /// Pages that move within `turn_ns`, or within twice the time that a batch costs by itself where that
    /// is longer; at least one.
    pub(super) fn pages_in(&self, turn_ns: u64) -> u64 {
        let Some(known) = self.known else {
            return FIRST_PAGES;
        };
        let turn_ns = turn_ns.max(2 * known.batch_ns);
        let left_ns = turn_ns - known.batch_ns;
        let pages = left_ns.checked_div(known.page_ns).unwrap_or(u64::MAX);
        // Another size tells more than a guess.
        let teaches = !known.is_guess || differ(pages, known.size);
        let pages = if teaches { pages } else { pages / 2 };
        pages.max(1)
    }
}

impl Costs {
    fn with(self, pages: u64, took_ns: u64) -> Costs {
        let mean = |known: u64, new: u64| (known * (WEIGHT - 1)).saturating_add(new) / WEIGHT;
        if !differ(pages, self.size) {
            // As busy as the machine is, so dear are both.
            let expected_ns = self
                .batch_ns
                .saturating_add(self.page_ns.saturating_mul(pages));
            let new = |cost: u64| scaled(cost, took_ns, expected_ns.max(1));
            return Costs {
                batch_ns: mean(self.batch_ns, new(self.batch_ns)),
                page_ns: mean(
                    self.page_ns,
                    new(self.page_ns).max(u64::from(self.page_ns == 0)),
                ),
                is_guess: self.is_guess,
                size: self.size,
                took_ns: mean(self.took_ns, took_ns),
            };
        }
        let (longer_ns, shorter_ns) = match pages > self.size {
            true => (took_ns, self.took_ns),
            false => (self.took_ns, took_ns),
        };
        let most_ns = took_ns / pages.max(1);
        let page_ns = longer_ns.saturating_sub(shorter_ns) / pages.abs_diff(self.size).max(1);
        let page_ns = page_ns.clamp(most_ns / PAGE_PART, most_ns);
        Costs {
            batch_ns: took_ns.saturating_sub(page_ns.saturating_mul(pages)),
            page_ns,
            is_guess: false,
            size: pages,
            took_ns,
        }
    }
}

/// Whether batches of these sizes tell their own cost from that of their pages.
fn differ(one: u64, other: u64) -> bool {
    one.abs_diff(other) >= (one.max(other) / SIZE_PART).max(1)
}

/// `cost` times `now` in `before`.
fn scaled(cost: u64, now: u64, before: u64) -> u64 {
    let scaled = u128::from(cost) * u128::from(now) / u128::from(before);
    u64::try_from(scaled).unwrap_or(u64::MAX).min(TIME_MAX_NS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The size of the batches in the end, of an actuator with these costs.
    fn settled(first: u64, batch_ns: u64, page_ns: u64, turn_ns: u64) -> u64 {
        let mut pace = Pace::default();
        pace.measured(first, batch_ns + first * page_ns);
        for _ in 0..40 {
            let pages = pace.pages_in(turn_ns).min(512);
            pace.measured(pages, batch_ns + pages * page_ns);
        }
        pace.pages_in(turn_ns).min(512)
    }

    #[test]
    fn a_slow_actuator_gets_small_batches() {
        let mut pace = Pace::default();
        assert_eq!(pace.pages_in(1_000_000), FIRST_PAGES);
        pace.measured(0, 5);
        assert_eq!(pace.pages_in(1_000_000), FIRST_PAGES);
        pace.measured(100, 1_000_000);
        assert!((40..=128).contains(&pace.pages_in(1_000_000)));
        (0..20).for_each(|_| pace.measured(10, 1_000_000));
        assert!(pace.pages_in(0) >= 1);
        (0..99).for_each(|_| pace.measured(10, 0));
        assert!(pace.pages_in(1_000_000) > 100_000);
        pace.measured(u64::MAX, u64::MAX);
        assert!(pace.pages_in(u64::MAX) >= 1);
    }

    #[test]
    fn a_batch_that_costs_more_than_a_turn_does_not_shrink_to_a_page() {
        // As DAMON on a busy machine: 0.7 s for a batch, 1 ms for a page.
        for first in [1, 3, 512] {
            assert_eq!(settled(first, 700_000_000, 1_000_000, 500_000_000), 512);
            assert!(settled(first, 400_000_000, 1_000_000, 500_000_000) > 300);
            assert!((400..=512).contains(&settled(first, 0, 1_000_000, 500_000_000)));
        }
    }

    proptest! {
        /// A batch takes little more than its turn, or most of its time is for its pages.
        #[test]
        fn batches_settle(
            first in 1..=512_u64,
            batch_ns in 0..2_000_000_000_u64,
            page_ns in 1_000..20_000_000_u64,
            turn_ns in 1_000_000..1_000_000_000_u64,
        ) {
            let pages = settled(first, batch_ns, page_ns, turn_ns);
            let took_ns = batch_ns + pages * page_ns;
            prop_assert!(pages >= 1);
            prop_assert!(
                pages == 1 || took_ns <= turn_ns.max(2 * batch_ns) * 3 / 2,
                "{pages} pages take {took_ns}"
            );
            prop_assert!(
                pages == 512 || took_ns + page_ns >= turn_ns / 2,
                "{pages} pages take {took_ns}"
            );
            prop_assert!(
                pages + pages / SIZE_PART >= BATCH_PAGES || (pages + 1) * page_ns * 4 >= batch_ns,
                "{pages} pages are dear"
            );
        }
    }
}
