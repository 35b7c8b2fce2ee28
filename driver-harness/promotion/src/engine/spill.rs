// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A target that demotes as much as is promoted to it: the hot memory does not fit, and promotion only
//! drives pages in circles.

/// Between two looks at a target's counters.
const INTERVAL_NS: u64 = 1_000_000_000;
/// Fewer pages demoted in an interval say nothing.
const PAGES_MIN: u64 = 64;
/// The slowest that promotion gets, in pages a second.
const RATE_MIN: u64 = 16;
/// From this rate on it is as good as free.
const RATE_MAX: u64 = 1 << 20;

/// Watches one target.
#[derive(Debug, Clone, Default)]
pub(super) struct SpillGuard {
    last: Option<Look>,
    promoted: u64,
    /// Pages a second that may be promoted; none for any number.
    rate: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    time_ns: u64,
    demoted: u64,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    /// Pages demoted since the last look.
    pub(super) demoted: u64,
    /// The rate before and now, where it changed.
    pub(super) change: Option<(Option<u64>, Option<u64>)>,
}

impl SpillGuard {
    /// Whether it is time to look at the counters.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        self.last
            .is_none_or(|last| now_ns.saturating_sub(last.time_ns) >= INTERVAL_NS)
    }

    /// Pages arrived on the target.
    pub(super) fn promoted(&mut self, pages: u64) {
        self.promoted = self.promoted.saturating_add(pages);
    }

    /// Pages a second that may be promoted; none for any number.
    pub(super) fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// So many pages were demoted from the target since the machine started.
    pub(super) fn look(&mut self, demoted_ever: u64, now_ns: u64) -> Finding {
        let look = Look {
            time_ns: now_ns,
            demoted: demoted_ever,
        };
        let promoted = std::mem::take(&mut self.promoted);
        let Some(last) = self.last.replace(look) else {
            return Finding {
                demoted: 0,
                change: None,
            };
        };
        let demoted = demoted_ever.saturating_sub(last.demoted);
        let passed_ns = now_ns.saturating_sub(last.time_ns).max(1);
        let before = self.rate;
        if demoted >= PAGES_MIN && demoted >= promoted && promoted > 0 {
            let seconds_part = u128::from(promoted) * 1_000_000_000 / u128::from(passed_ns);
            let now = u64::try_from(seconds_part).unwrap_or(u64::MAX);
            let rate = self.rate.map_or(now, |rate| rate.min(now));
            self.rate = Some((rate / 2).max(RATE_MIN));
        } else if demoted < PAGES_MIN.max(promoted / 4) {
            self.rate = self
                .rate
                .map(|rate| rate.saturating_mul(2))
                .filter(|rate| *rate < RATE_MAX);
        }
        Finding {
            demoted,
            change: (self.rate != before).then_some((before, self.rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target of `room` pages and `hot` pages that all want to be there: what does not fit drives
    /// others out. Returns the pages that moved in vain in the last ten seconds.
    fn churn(hot: u64, room: u64, seconds: u64) -> (u64, Option<u64>) {
        let mut guard = SpillGuard::default();
        let (mut there, mut demoted, mut vain) = (0, 0, 0);
        for second in 0..seconds {
            assert!(guard.is_due(second * INTERVAL_NS));
            guard.look(demoted, second * INTERVAL_NS);
            let wish = (hot - there).min(guard.rate().unwrap_or(u64::MAX));
            guard.promoted(wish);
            let out = (there + wish).saturating_sub(room);
            there = there + wish - out;
            demoted += out;
            if second + 10 >= seconds {
                vain += out;
            }
        }
        (vain, guard.rate())
    }

    #[test]
    fn promotion_slows_down_where_it_only_drives_pages_in_circles() {
        let (vain, rate) = churn(20_000, 10_000, 60);
        assert!(vain <= 10 * 4 * PAGES_MIN, "{vain}");
        assert!(rate.is_some());
        let (vain, rate) = churn(10_000, 10_000, 60);
        assert_eq!((vain, rate), (0, None));
    }

    #[test]
    fn it_recovers_when_there_is_room_again() {
        let mut guard = SpillGuard::default();
        guard.look(0, 0);
        guard.promoted(1000);
        let finding = guard.look(1000, INTERVAL_NS);
        assert_eq!(
            finding,
            Finding {
                demoted: 1000,
                change: Some((None, Some(500)))
            }
        );
        assert!(!guard.is_due(INTERVAL_NS + 5));
        for second in 2..30 {
            guard.look(1000, second * INTERVAL_NS);
        }
        assert_eq!(guard.rate(), None);
    }
}
