// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an enabled instance does with requests and epochs.

use std::collections::{TryReserveError, VecDeque};

use chmu_spec::access::Access;
use chmu_spec::address::{Dpa, UnitIndex};
use chmu_spec::hotlist::Entry;

use crate::rules::{Comparison, Rules};
use crate::statistics::InstanceStatistics;
use crate::tracker::{BATCH_REQUESTS, Counters, Hottest, Selection};

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
    selection: Selection,
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
            selection: Selection::new(&rules)?,
            counters: Counters::new(rules.units(), rules.unit_size, rules.maximum)?,
            epochs,
            out_of_counters: false,
            rules,
        })
    }

    /// Begins a global epoch.
    pub(super) fn start(&mut self, now_ns: u64) {
        if let Epochs::Global { length_ns, end_ns } = &mut self.epochs {
            *end_ns = now_ns.saturating_add(*length_ns);
        }
    }

    /// Goes on with the counts of a former enable.
    pub(super) fn inherit(&mut self, former: Self) {
        if former.rules.unit_size == self.rules.unit_size {
            self.counters = former.counters;
            self.counters.note_anew(self.rules.threshold);
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
        accesses: &[Access<Dpa>],
        statistics: &mut InstanceStatistics,
        hot: &mut Hottest,
    ) -> bool {
        let (rules, counters) = (&self.rules, &mut self.counters);
        for batch in accesses.chunks(BATCH_REQUESTS) {
            let selected = self.selection.select(rules, batch, statistics);
            match &mut self.epochs {
                Epochs::Global { .. } => {
                    let last_cold = rules.threshold.saturating_sub(1);
                    let is_event = |before| before == last_cold;
                    counters.count(selected, is_event, |mut counted| {
                        // A full counter stays where it is.
                        if *counted.count > last_cold {
                            counted.note_hot();
                        }
                    });
                }
                Epochs::PerCounter { length_ns, ends } => {
                    let end_ns = now_ns.saturating_add(*length_ns);
                    count_per_counter(counters, selected, end_ns, ends);
                }
                Epochs::None => count_always_on(counters, selected, rules, hot),
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
                self.counters.take_hot(self.rules.clearing, hot);
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

/// Counts requests; `ends` takes the units whose epoch they begin, which ends at `end_ns`.
fn count_per_counter(
    counters: &mut Counters,
    requests: &[Access<Dpa>],
    end_ns: u64,
    ends: &mut VecDeque<(u64, UnitIndex)>,
) {
    // Without room for an end, no request is counted: its unit might never be looked at.
    let pieces = match ends.try_reserve(requests.len()) {
        Ok(()) => requests.len(),
        Err(_) => 1,
    };
    for piece in requests.chunks(pieces.max(1)) {
        if ends.try_reserve(piece.len()).is_err() {
            counters.miss();
            continue;
        }
        let begins = |before| before == 0;
        counters.count(piece, begins, |counted| {
            ends.push_back((end_ns, counted.unit));
        });
    }
}

/// Counts requests; `hot` takes the units that are at the threshold, in this order.
fn count_always_on(
    counters: &mut Counters,
    requests: &[Access<Dpa>],
    rules: &Rules,
    hot: &mut Hottest,
) {
    let last_cold = rules.threshold.saturating_sub(1);
    let count = u64::from(rules.always_on_count);
    let is_hot = |before| before == last_cold || before > last_cold && !rules.always_on_once;
    counters.count(requests, is_hot, |counted| {
        let unit = counted.unit;
        hot.add(Entry { unit, count });
        if rules.always_on_frees {
            *counted.count = 0;
        }
    });
}
