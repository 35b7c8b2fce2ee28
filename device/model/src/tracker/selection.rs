// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which requests of a batch count: request filter, ranges and down-sampling.

use std::collections::TryReserveError;

use chmu_spec::access::{self, Access, LINE_BYTES};
use chmu_spec::address::Dpa;

use crate::rules::Rules;
use crate::statistics::InstanceStatistics;

use super::sampler::Sampler;

/// Requests that are looked at together: few enough to stay in the nearest cache.
pub(crate) const BATCH_REQUESTS: usize = 1024;

const CLASSES: u64 = 4;
const SIGN_BIT: u64 = 1 << 63;

/// Classes of requests that a comparison of some of their bits finds.
#[derive(Debug, Clone, Copy)]
struct Comparable {
    mask: u64,
    value: u64,
}

impl Comparable {
    /// The comparison that finds the classes whose bits are set in `tracked`, as it finds those of
    /// any request filter; none for other sets.
    fn new(tracked: u8) -> Option<Self> {
        let pairs = (0..CLASSES).flat_map(|mask| (0..CLASSES).map(move |value| (mask, value)));
        let mut comparisons = pairs.map(|(mask, value)| Self { mask, value });
        comparisons.find(|one| {
            (0..CLASSES).all(|class| (class & one.mask == one.value) == has_class(tracked, class))
        })
    }
}

/// Picks the requests that count.
#[derive(Debug)]
pub(crate) struct Selection {
    classes: Option<Comparable>,
    /// All of the device's memory is tracked.
    everywhere: bool,
    last_byte: u64,
    sampler: Sampler,
    /// Has room for a batch.
    kept: Vec<Access<Dpa>>,
}

impl Selection {
    /// Goes by `rules`, from the first request on.
    ///
    /// # Errors
    /// Fails when there is no memory for a batch.
    pub(crate) fn new(rules: &Rules) -> Result<Self, TryReserveError> {
        let mut kept = Vec::new();
        kept.try_reserve_exact(BATCH_REQUESTS)?;
        Ok(Self {
            classes: Comparable::new(rules.tracked),
            everywhere: rules.ranges.covers(rules.capacity_bytes),
            last_byte: rules.capacity_bytes.saturating_sub(1),
            sampler: Sampler::new(
                rules.down_sampling_log2,
                rules.randomise.then_some(rules.seed),
            ),
            kept,
        })
    }

    /// The requests of `batch`, [`BATCH_REQUESTS`] at most, that count by the same `rules`.
    pub(crate) fn select<'a>(
        &'a mut self,
        rules: &Rules,
        batch: &'a [Access<Dpa>],
        statistics: &mut InstanceStatistics,
    ) -> &'a [Access<Dpa>] {
        add(&mut statistics.requests, batch.len());
        if self.sampler.admits_all() && self.tracks_all(batch) {
            add(&mut statistics.requests_counted, batch.len());
            return batch;
        }
        let filtered = self.filter(rules, batch);
        add(&mut statistics.requests_filtered, filtered);
        let passed_over = batch.len().saturating_sub(self.kept.len());
        let out_of_range = passed_over.saturating_sub(filtered);
        add(&mut statistics.requests_out_of_range, out_of_range);
        let before = self.kept.len();
        self.sampler.thin(&mut self.kept);
        let sampled_out = before.saturating_sub(self.kept.len());
        add(&mut statistics.requests_sampled_out, sampled_out);
        add(&mut statistics.requests_counted, self.kept.len());
        &self.kept
    }

    /// Whether each request is tracked, without a branch for any of them.
    fn tracks_all(&self, batch: &[Access<Dpa>]) -> bool {
        let (Some(Comparable { mask, value }), true) = (self.classes, self.everywhere) else {
            return false;
        };
        // The sign of a difference to the last byte tells whether an address is beyond it; an
        // address from 2^63 on has the sign itself.
        let (mut classes, mut signs) = (0, self.last_byte);
        for access in batch {
            let word = access.word();
            classes |= word & mask ^ value;
            signs |= word | self.last_byte.wrapping_sub(word & !(LINE_BYTES - 1));
        }
        classes == 0 && signs & SIGN_BIT == 0
    }

    /// Keeps what filter and ranges let through; returns how many the filter did not.
    fn filter(&mut self, rules: &Rules, batch: &[Access<Dpa>]) -> usize {
        self.kept.clear();
        let is_tracked = |access: Access<Dpa>| has_class(rules.tracked, access.class());
        access::keep(batch, &mut self.kept, |access| {
            let dpa = access.address();
            let is_inside = (dpa.0 < rules.capacity_bytes) & rules.ranges.contains(dpa);
            (access, is_tracked(access) & is_inside)
        });
        batch.iter().filter(|access| !is_tracked(**access)).count()
    }
}

fn has_class(tracked: u8, class: u64) -> bool {
    u64::from(tracked) >> class & 1 == 1
}

fn add(counter: &mut u64, more: usize) {
    let more = u64::try_from(more).unwrap_or(u64::MAX);
    *counter = counter.saturating_add(more);
}

#[cfg(test)]
mod tests {
    use chmu_spec::request::{AccessKind, RequestFilter};

    use super::*;
    use crate::rules::classes;

    #[test]
    fn a_comparison_finds_the_requests_of_any_filter() {
        for filter in RequestFilter::ALL {
            let tracked = classes(|kind, tee| filter.tracks(kind, tee));
            let Comparable { mask, value } = Comparable::new(tracked).unwrap();
            for kind in [AccessKind::Read, AccessKind::Write] {
                for tee in [false, true] {
                    let class = Access::new(Dpa(0), kind, tee).class();
                    assert_eq!(class & mask == value, filter.tracks(kind, tee));
                }
            }
        }
    }

    #[test]
    fn not_every_set_of_classes_can_be_compared() {
        for tracked in [0b0110, 0b0111, 0b1001] {
            assert!(Comparable::new(tracked).is_none(), "{tracked:#b}");
        }
    }
}
