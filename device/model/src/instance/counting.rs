// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an enabled instance does with accesses and epochs.

use std::cmp::Reverse;
use std::collections::VecDeque;

use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::EpochType;
use chmu_spec::hotlist::{Entry, maximum_count};
use chmu_spec::request::{AccessKind, RequestFilter};
use chmu_spec::unit_size::UnitSize;

use crate::capabilities::Capabilities;
use crate::host::Access;
use crate::statistics::InstanceStatistics;
use crate::tracker::{Counters, RangeBitmap, Sampler};

use super::settings::Settings;

/// When counts are compared with the threshold.
#[derive(Debug)]
enum Pace {
    /// At the end of an epoch that all units share.
    Global { length_ns: u64, end_ns: u64 },
    /// When a unit's own epoch ends, which began with its first access. All epochs have one
    /// length, so the ends are in order.
    PerCounter {
        length_ns: u64,
        ends: VecDeque<(u64, UnitIndex)>,
    },
    /// At each access.
    AlwaysOn,
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
    /// Bit n: requests of class n are tracked.
    tracked: u8,
    unit_size: UnitSize,
    counter_width: u8,
    /// 1 at least: a unit without an access is never hot.
    threshold: u32,
    capacity_bytes: u64,
    sampler: Sampler,
    counters: Counters,
    pace: Pace,
}

impl Counting {
    /// Counters of zero; the first global epoch starts now.
    pub(super) fn new(
        settings: &Settings,
        capabilities: &Capabilities,
        capacity_bytes: u64,
        now_ns: u64,
    ) -> Self {
        let pace = match (settings.epoch, capabilities.epoch_type) {
            (None, _) => Pace::AlwaysOn,
            (Some(epoch), EpochType::Global) => Pace::Global {
                length_ns: epoch.nanoseconds(),
                end_ns: now_ns.saturating_add(epoch.nanoseconds()),
            },
            (Some(epoch), EpochType::PerCounter) => Pace::PerCounter {
                length_ns: epoch.nanoseconds(),
                ends: VecDeque::new(),
            },
        };
        let units = capacity_bytes.div_ceil(settings.unit_size.bytes());
        let maximum = u32::try_from(maximum_count(settings.counter_width)).unwrap_or(u32::MAX);
        let seed = settings.randomise.then_some(capabilities.seed);
        Self {
            tracked: classes(settings.filter),
            unit_size: settings.unit_size,
            counter_width: settings.counter_width,
            threshold: settings.threshold.max(1),
            capacity_bytes,
            sampler: Sampler::new(settings.down_sampling_log2, seed),
            counters: Counters::new(units, maximum),
            pace,
        }
    }

    /// Bits of a counter.
    pub(super) fn counter_width(&self) -> u8 {
        self.counter_width
    }

    /// When the next epoch ends that can make a difference; `u64::MAX` when none does.
    pub(super) fn deadline_ns(&self) -> u64 {
        match &self.pace {
            Pace::Global { end_ns, .. } => *end_ns,
            Pace::PerCounter { ends, .. } => ends.front().map_or(u64::MAX, |(end_ns, _)| *end_ns),
            Pace::AlwaysOn => u64::MAX,
        }
    }

    /// Counts accesses; `hot` takes the units that are reported at once.
    pub(super) fn count(
        &mut self,
        now_ns: u64,
        accesses: &[Access],
        ranges: &RangeBitmap,
        statistics: &mut InstanceStatistics,
        hot: &mut Vec<Entry>,
    ) {
        let mut selection = Selection {
            tracked: self.tracked,
            unit_size: self.unit_size,
            capacity_bytes: self.capacity_bytes,
            sampler: &mut self.sampler,
            ranges,
            statistics,
        };
        let counters = &mut self.counters;
        match &mut self.pace {
            Pace::Global { .. } => selection.each_unit(accesses, |unit| {
                counters.increment(unit);
            }),
            Pace::PerCounter { length_ns, ends } => {
                let end_ns = now_ns.saturating_add(*length_ns);
                selection.each_unit(accesses, |unit| {
                    if counters.increment(unit) == Some(0) {
                        ends.push_back((end_ns, unit));
                    }
                });
            }
            Pace::AlwaysOn => {
                let threshold = self.threshold;
                selection.each_unit(accesses, |unit| {
                    let before = counters.increment(unit);
                    if before.is_some_and(|before| before >= threshold.saturating_sub(1)) {
                        let count = u64::from(threshold);
                        counters.take(unit);
                        hot.push(Entry { unit, count });
                    }
                });
            }
        }
    }

    /// Ends the earliest epochs that are over at `now_ns`; `hot` takes the hot units, hottest
    /// first, ties by the lower unit. None when no epoch is over.
    pub(super) fn end_epoch(&mut self, now_ns: u64, hot: &mut Vec<Entry>) -> Option<Ended> {
        let deadline_ns = self.deadline_ns();
        if deadline_ns > now_ns || deadline_ns == u64::MAX {
            return None;
        }
        match &mut self.pace {
            Pace::Global { length_ns, end_ns } => {
                // Nothing is counted in the epochs after the first: they end together with it.
                let later = now_ns.saturating_sub(*end_ns).checked_div(*length_ns)?;
                let epochs = later.saturating_add(1);
                *end_ns = end_ns.saturating_add(epochs.saturating_mul(*length_ns));
                let accessed = self.counters.any_touched();
                self.counters.take_hot(self.threshold, hot);
                Some(Ended { epochs, accessed })
            }
            Pace::PerCounter { ends, .. } => {
                while let Some((end_ns, unit)) = ends.front().copied()
                    && end_ns == deadline_ns
                {
                    ends.pop_front();
                    let count = self.counters.take(unit);
                    if count >= self.threshold {
                        let count = u64::from(count);
                        hot.push(Entry { unit, count });
                    }
                }
                hot.sort_unstable_by_key(|entry| (Reverse(entry.count), entry.unit));
                Some(Ended {
                    epochs: 0,
                    accessed: false,
                })
            }
            Pace::AlwaysOn => None,
        }
    }
}

/// The class of a request: bit 0 write, bit 1 from a trusted execution environment.
fn class(kind: AccessKind, tee: bool) -> u8 {
    u8::from(kind == AccessKind::Write) | u8::from(tee) << 1
}

/// Bit n: the filter tracks requests of class n.
fn classes(filter: RequestFilter) -> u8 {
    let kinds = [AccessKind::Read, AccessKind::Write];
    let all = kinds
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)]);
    all.filter(|(kind, tee)| filter.tracks(*kind, *tee))
        .fold(0, |bits, (kind, tee)| bits | 1 << class(kind, tee))
}

/// Which requests count.
struct Selection<'a> {
    tracked: u8,
    unit_size: UnitSize,
    capacity_bytes: u64,
    sampler: &'a mut Sampler,
    ranges: &'a RangeBitmap,
    statistics: &'a mut InstanceStatistics,
}

impl Selection<'_> {
    /// Calls `counted` with the unit of each request that counts.
    fn each_unit(&mut self, accesses: &[Access], mut counted: impl FnMut(UnitIndex)) {
        let [mut filtered, mut out_of_range, mut sampled_out] = [0_u64; 3];
        for access in accesses {
            if self.tracked >> class(access.kind, access.tee) & 1 == 0 {
                filtered = filtered.wrapping_add(1);
            } else if !self.ranges.contains(access.dpa) || access.dpa.0 >= self.capacity_bytes {
                out_of_range = out_of_range.wrapping_add(1);
            } else if !self.sampler.admits() {
                sampled_out = sampled_out.wrapping_add(1);
            } else {
                counted(self.unit_size.index_of(access.dpa));
            }
        }
        let requests = u64::try_from(accesses.len()).unwrap_or(u64::MAX);
        let passed_over = filtered
            .saturating_add(out_of_range)
            .saturating_add(sampled_out);
        let add = |counter: &mut u64, more: u64| *counter = counter.saturating_add(more);
        add(&mut self.statistics.requests, requests);
        add(&mut self.statistics.requests_filtered, filtered);
        add(&mut self.statistics.requests_out_of_range, out_of_range);
        add(&mut self.statistics.requests_sampled_out, sampled_out);
        let counted = requests.saturating_sub(passed_over);
        add(&mut self.statistics.requests_counted, counted);
    }
}
