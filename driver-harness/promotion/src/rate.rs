// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many pages may move now.

/// Pages that may be made up for after a pause: those of this part of a second.
const BURST_NS: u64 = 250_000_000;
const SECOND_NS: u128 = 1_000_000_000;

/// A bound on the pages moved per second; times are nanoseconds of any clock that never goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// None: no bound.
    pages_per_second: Option<u64>,
    /// Parts of pages, in units of 1/10^9 page; negative after a folio that was larger than allowed.
    credit: i128,
    last_ns: Option<u64>,
}

impl RateLimit {
    /// At most so many pages per second, or as many as there are.
    pub fn new(pages_per_second: Option<u64>) -> RateLimit {
        RateLimit {
            pages_per_second,
            credit: 0,
            last_ns: None,
        }
    }

    /// How many pages may move at `now_ns`.
    pub fn allowed(&mut self, now_ns: u64) -> u64 {
        let Some(rate) = self.pages_per_second else {
            return u64::MAX;
        };
        let burst = i128::from(rate) * i128::from(BURST_NS);
        // One page at least, however low the rate.
        let burst = burst.max(SECOND_NS as i128);
        self.credit = match self.last_ns {
            None => burst,
            Some(last_ns) => {
                let passed = now_ns.saturating_sub(last_ns);
                burst.min(self.credit + i128::from(rate) * i128::from(passed))
            }
        };
        self.last_ns = Some(now_ns);
        u64::try_from(self.credit / SECOND_NS as i128).unwrap_or(0)
    }

    /// When a page may move, as far as the rate goes; 0 for at once.
    pub fn ready_ns(&self) -> u64 {
        let (Some(rate), Some(last_ns)) = (self.pages_per_second, self.last_ns) else {
            return 0;
        };
        let missing = u128::try_from(SECOND_NS as i128 - self.credit).unwrap_or(0);
        let wait_ns = missing.div_ceil(u128::from(rate.max(1)));
        last_ns.saturating_add(u64::try_from(wait_ns).unwrap_or(u64::MAX))
    }

    /// So many pages moved.
    pub fn charge(&mut self, pages: u64) {
        if self.pages_per_second.is_some() {
            self.credit -= i128::from(pages) * SECOND_NS as i128;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_rate_is_kept_over_any_time(
            rate in 1..100_000_u64,
            pauses in proptest::collection::vec(0..2_000_000_000_u64, 1..50),
        ) {
            let mut limit = RateLimit::new(Some(rate));
            let (mut now, mut moved) = (5, 0_u128);
            moved += u128::from(limit.allowed(now));
            limit.charge(limit.clone().allowed(now));
            for pause in pauses {
                now += pause;
                let pages = limit.allowed(now);
                limit.charge(pages);
                moved += u128::from(pages);
                let most = u128::from(rate) * u128::from(now - 5 + BURST_NS) / SECOND_NS + 1;
                prop_assert!(moved <= most, "{moved} of {most}");
            }
        }
    }

    #[test]
    fn a_low_rate_lets_single_pages_through() {
        let mut limit = RateLimit::new(Some(1));
        assert_eq!(limit.allowed(0), 1);
        limit.charge(1);
        assert_eq!(limit.allowed(999_999_999), 0);
        assert_eq!(limit.allowed(1_000_000_000), 1);
    }

    #[test]
    fn it_is_told_when_the_next_page_may_move() {
        let mut limit = RateLimit::new(Some(40));
        assert_eq!(limit.ready_ns(), 0);
        assert_eq!(limit.allowed(7), 10);
        limit.charge(10);
        let ready_ns = limit.ready_ns();
        assert_eq!(ready_ns, 7 + 25_000_000);
        assert_eq!(limit.clone().allowed(ready_ns - 1), 0);
        assert_eq!(limit.allowed(ready_ns), 1);
        assert_eq!(RateLimit::new(None).ready_ns(), 0);
    }

    #[test]
    fn what_was_too_much_is_paid_back() {
        let mut limit = RateLimit::new(Some(100));
        assert_eq!(limit.allowed(0), 25);
        limit.charge(512);
        assert_eq!(limit.allowed(4_000_000_000), 0);
        assert_eq!(limit.allowed(5_000_000_000), 13);
    }

    #[test]
    fn without_a_rate_all_may_move() {
        let mut limit = RateLimit::new(None);
        limit.charge(1 << 40);
        assert_eq!(limit.allowed(0), u64::MAX);
    }
}
