// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an enabled instance does with requests and epochs.

use std::collections::{TryReserveError, VecDeque};

use chmu_spec::address::UnitIndex;
use chmu_spec::hotlist::Entry;

use crate::host::Access;
use crate::rules::{Comparison, Rules, class};
use crate::statistics::InstanceStatistics;
use crate::tracker::{Counters, Hottest, Sampler};

/// When the epochs end that run.
#[derive(Debug)]
enum Epochs {
    Global {
        length_ns: u64,
        end_ns: u64,
    },
    /// A unit's epoch begins with its first request. All have one length, so the ends are in
    /// order.
    PerCounter {
        length_ns: u64,
        ends: VecDeque<(u64, UnitIndex)>,
    },
    None,
}

/// What ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// Global epochs that ended.
    pub(super) epochs: u64,
    /// Whether a global epoch ended in which units were accessed.
    pub(super) accessed: bool,
}

/// An enabled instance's counters and the rules by which they move.
#[derive(Debug)]
pub(super) struct Counting {
    rules: Rules,
    sampler: Sampler,
    counters: Counters,
    epochs: Epochs,
    /// There was no memory for the counter of a request.
    out_of_counters: bool,
}

impl Counting {
    /// Counters of zero, before the first epoch.
    ///
    /// # Errors
    /// Fails when there is no memory for them.
    pub(super) fn new(rules: Rules) -> Result<Self, TryReserveError> {
        let epochs = match rules.comparison {
            Comparison::Global { epoch_ns } => Epochs::Global {
                length_ns: epoch_ns,
                end_ns: u64::MAX,
            },
            Comparison::PerCounter { epoch_ns } => Epochs::PerCounter {
                length_ns: epoch_ns,
                ends: VecDeque::new(),
            },
            Comparison::AlwaysOn => Epochs::None,
        };
        Ok(Self {
            sampler: Sampler::new(
                rules.down_sampling_log2,
                rules.randomise.then_some(rules.seed),
            ),
            counters: Counters::new(rules.units(), rules.maximum)?,
            epochs,
            out_of_counters: false,
            rules,
        })
    }

    /// Begins the first global epoch.
    pub(super) fn start(&mut self, now_ns: u64) {
        if let Epochs::Global { length_ns, end_ns } = &mut self.epochs {
            *end_ns = now_ns.saturating_add(*length_ns);
        }
    }

    /// Goes on with the counts of a former enable.
    pub(super) fn inherit(&mut self, former: Self) {
        if former.rules.unit_size == self.rules.unit_size {
            self.counters = former.counters;
        }
    }

    /// The rules by which it counts.
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// When the next epoch ends that can make a difference; `u64::MAX` when none does.
    pub(super) fn deadline_ns(&self) -> u64 {
        match &self.epochs {
            Epochs::Global { end_ns, .. } => *end_ns,
            Epochs::PerCounter { ends, .. } => ends.front().map_or(u64::MAX, |(end_ns, _)| *end_ns),
            Epochs::None => u64::MAX,
        }
    }

    /// Counts requests; `hot` takes the units that are reported at once. Returns whether there
    /// was no memory for a counter, for the first time.
    pub(super) fn count(
        &mut self,
        now_ns: u64,
        accesses: &[Access],
        statistics: &mut InstanceStatistics,
        hot: &mut Hottest,
    ) -> bool {
        let (rules, sampler, counters) = (&self.rules, &mut self.sampler, &mut self.counters);
        match &mut self.epochs {
            Epochs::Global { .. } => each_unit(rules, sampler, accesses, statistics, |unit| {
                counters.increment(unit);
            }),
            Epochs::PerCounter { length_ns, ends } => {
                let end_ns = now_ns.saturating_add(*length_ns);
                each_unit(rules, sampler, accesses, statistics, |unit| {
                    if ends.try_reserve(1).is_err() {
                        counters.miss();
                    } else if counters.increment(unit) == Some(0) {
                        ends.push_back((end_ns, unit));
                    }
                });
            }
            Epochs::None => {
                let last_cold = rules.threshold.saturating_sub(1);
                let count = u64::from(rules.always_on_count);
                each_unit(rules, sampler, accesses, statistics, |unit| {
                    let before = counters.increment(unit);
                    let is_hot = before.is_some_and(|before| {
                        before == last_cold || before > last_cold && !rules.always_on_once
                    });
                    if is_hot {
                        hot.add(Entry { unit, count });
                        if rules.always_on_frees {
                            counters.take(unit);
                        }
                    }
                });
            }
        }
        let missed = counters.take_missed();
        let moved = &mut statistics.requests_counted;
        *moved = moved.saturating_sub(missed);
        let without_counter = &mut statistics.requests_without_counter;
        *without_counter = without_counter.saturating_add(missed);
        let ran_out = missed > 0;
        let first = ran_out && !self.out_of_counters;
        self.out_of_counters |= ran_out;
        first
    }

    /// Ends the earliest epochs that are over at `now_ns`; `hot` takes the hot units, hottest
    /// first, ties by the lower unit. None when no epoch is over.
    pub(super) fn end_epoch(&mut self, now_ns: u64, hot: &mut Hottest) -> Option<Ended> {
        let deadline_ns = self.deadline_ns();
        if deadline_ns > now_ns || deadline_ns == u64::MAX {
            return None;
        }
        let threshold = self.rules.threshold;
        match &mut self.epochs {
            Epochs::Global { length_ns, end_ns } => {
                // Nothing is counted in the epochs after the first: they end together with it.
                let period_ns = length_ns.saturating_add(self.rules.epoch_drift_ns);
                let later = now_ns.saturating_sub(*end_ns).checked_div(period_ns)?;
                let epochs = later.saturating_add(1);
                *end_ns = end_ns.saturating_add(epochs.saturating_mul(period_ns));
                let accessed = self.counters.any_touched();
                self.counters.take_hot(threshold, self.rules.clearing, hot);
                hot.sort();
                Some(Ended { epochs, accessed })
            }
            Epochs::PerCounter { ends, .. } => {
                while let Some((end_ns, unit)) = ends.front().copied()
                    && end_ns == deadline_ns
                {
                    ends.pop_front();
                    let count = self.counters.take(unit);
                    if count >= threshold {
                        let count = u64::from(count);
                        hot.add(Entry { unit, count });
                    }
                }
                hot.sort();
                Some(Ended {
                    epochs: 0,
                    accessed: false,
                })
            }
            Epochs::None => None,
        }
    }
}

/// Calls `counted` with the unit of each request that counts.
fn each_unit(
    rules: &Rules,
    sampler: &mut Sampler,
    accesses: &[Access],
    statistics: &mut InstanceStatistics,
    mut counted: impl FnMut(UnitIndex),
) {
    let [mut filtered, mut out_of_range, mut sampled_out] = [0_u64; 3];
    for access in accesses {
        if (rules.tracked >> class(access.kind, access.tee)) & 1 == 0 {
            filtered = filtered.wrapping_add(1);
        } else if !rules.ranges.contains(access.dpa) || access.dpa.0 >= rules.capacity_bytes {
            out_of_range = out_of_range.wrapping_add(1);
        } else if !sampler.admits() {
            sampled_out = sampled_out.wrapping_add(1);
        } else {
            counted(rules.unit_size.index_of(access.dpa));
        }
    }
    let requests = u64::try_from(accesses.len()).unwrap_or(u64::MAX);
    let passed_over = filtered
        .saturating_add(out_of_range)
        .saturating_add(sampled_out);
    let add = |counter: &mut u64, more: u64| *counter = counter.saturating_add(more);
    add(&mut statistics.requests, requests);
    add(&mut statistics.requests_filtered, filtered);
    add(&mut statistics.requests_out_of_range, out_of_range);
    add(&mut statistics.requests_sampled_out, sampled_out);
    add(
        &mut statistics.requests_counted,
        requests.saturating_sub(passed_over),
    );
}
