// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many pages the actuator moves in a given time.

/// Pages of a batch before any was measured.
const FIRST_PAGES: u64 = 4096;
/// Of several measurements a new one counts for one part in this many.
const WEIGHT: u64 = 4;

/// The actuator's time for a page, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    page_ns: Option<u64>,
}

impl Pace {
    /// Moving, or trying to move, so many pages took so long.
    pub(super) fn measured(&mut self, pages: u64, took_ns: u64) {
        let Some(page_ns) = took_ns.checked_div(pages) else {
            return;
        };
        self.page_ns = Some(match self.page_ns {
            None => page_ns,
            Some(known) => (known.saturating_mul(WEIGHT - 1).saturating_add(page_ns)) / WEIGHT,
        });
    }

    /// Pages that move within `turn_ns`; at least one.
    pub(super) fn pages_in(&self, turn_ns: u64) -> u64 {
        let pages = match self.page_ns {
            None => FIRST_PAGES,
            Some(page_ns) => turn_ns.checked_div(page_ns).unwrap_or(u64::MAX),
        };
        pages.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_actuator_gets_small_batches() {
        let mut pace = Pace::default();
        assert_eq!(pace.pages_in(1_000_000), FIRST_PAGES);
        pace.measured(0, 5);
        pace.measured(100, 1_000_000);
        assert_eq!(pace.pages_in(1_000_000), 100);
        (0..20).for_each(|_| pace.measured(10, 1_000_000));
        assert_eq!((pace.pages_in(1_000_000), pace.pages_in(0)), (10, 1));
        (0..99).for_each(|_| pace.measured(10, 0));
        assert!(pace.pages_in(1_000_000) > 100_000);
    }
}
