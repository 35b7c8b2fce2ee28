// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Sums, and how fast they grow.

use super::Flow;

/// Seconds that a rate is taken over.
const SECONDS: u64 = SLOTS as u64;
/// The same as a number of slots.
const SLOTS: usize = 10;
const SECOND_NS: u64 = 1_000_000_000;

/// A sum whose last ten seconds are known by the second.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter {
    total: u64,
    /// What each second added, at its number modulo ten.
    added: [u64; SLOTS],
    /// The latest second that added anything.
    second: u64,
}

impl Counter {
    /// Adds what happened at a time; one before an earlier call's counts as that.
    pub(super) fn add(&mut self, amount: u64, time_ns: u64) {
        self.total = self.total.saturating_add(amount);
        let second = (time_ns / SECOND_NS).max(self.second);
        for passed in self.second.max(second.saturating_sub(SECONDS))..second {
            self.added[slot(passed + 1)] = 0;
        }
        self.second = second;
        let added = &mut self.added[slot(second)];
        *added = added.saturating_add(amount);
    }

    /// The sum.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The sum, and its rate over the seconds that have passed since `started_ns`, ten at most.
    pub(super) fn flow(&self, started_ns: u64, now_ns: u64) -> Flow {
        let now = (now_ns / SECOND_NS).max(self.second);
        let first = now.saturating_sub(SECONDS - 1);
        let recent: u64 = (first..=self.second)
            .map(|second| self.added[slot(second)])
            .fold(0, u64::saturating_add);
        // The current second is not over, and a run may be younger than ten of them.
        let begun_ns = started_ns.max(first.saturating_mul(SECOND_NS));
        let passed_ns = now_ns.saturating_sub(begun_ns).max(SECOND_NS);
        Flow {
            total: self.total,
            per_second: tenths(recent, passed_ns),
        }
    }
}

fn slot(second: u64) -> usize {
    // Below ten in any case.
    usize::try_from(second % SECONDS).unwrap_or(0)
}

/// Something a second, to a tenth: what is finer is noise.
fn tenths(amount: u64, passed_ns: u64) -> f64 {
    let tenths = u128::from(amount) * 10 * u128::from(SECOND_NS) / u128::from(passed_ns);
    u32::try_from(tenths).map_or(f64::from(u32::MAX), f64::from) / 10.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_young_run_divides_by_its_age() {
        let mut counter = Counter::default();
        counter.add(300, 1_500_000_000);
        let rate = |counter: &Counter, now_ns| counter.flow(1_000_000_000, now_ns).per_second;
        assert!((rate(&counter, 1_600_000_000) - 300.0).abs() < 0.01);
        assert!((rate(&counter, 4_000_000_000) - 100.0).abs() < 0.01);
        assert!((rate(&counter, 11_000_000_000) - 0.0).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn rates_are_those_of_a_list_of_all_that_happened(
            steps in prop::collection::vec((0_u64..4_000_000_000, 0_u64..1_000), 1..60),
            later_ns in 0_u64..15_000_000_000,
        ) {
            let mut counter = Counter::default();
            let mut all = Vec::new();
            let mut now_ns = 0;
            for (passed_ns, amount) in steps {
                now_ns += passed_ns;
                counter.add(amount, now_ns);
                all.push((now_ns / SECOND_NS, amount));
            }
            now_ns += later_ns;
            let first = (now_ns / SECOND_NS).saturating_sub(SECONDS - 1);
            let recent: u64 = all.iter().filter(|(second, _)| *second >= first).map(|(_, amount)| amount).sum();
            let passed_ns = (now_ns - first * SECOND_NS).max(SECOND_NS);
            let flow = counter.flow(0, now_ns);
            prop_assert_eq!(flow.total, all.iter().map(|(_, amount)| amount).sum::<u64>());
            prop_assert!((flow.per_second - tenths(recent, passed_ns)).abs() < 1e-9);
        }
    }
}
