// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Broken choices of what is counted, and how.

use chmu_spec::epoch::EpochLength;
use chmu_spec::request::AccessKind;
use chmu_spec::unit_size::UnitSize;

use crate::behaviour::Behaviour;
use crate::quirk::Quirk;
use crate::rules::{Comparison, Rules, classes};
use crate::tracker::Clearing;

/// log2 of the largest unit of an instance that takes no larger ones.
const CAPPED_UNIT_LOG2: u32 = 21;

/// log2 of the smallest unit of an instance that takes no smaller ones.
const ROUNDED_UNIT_LOG2: u32 = 16;

/// log2 of the units of an instance that has one size, whatever is asked for.
const FIXED_UNIT_LOG2: u32 = 12;

const MILLISECOND_NS: u64 = 1_000_000;

impl Behaviour {
    pub(super) fn break_selection(&mut self, quirk: Quirk) {
        let rules = &mut self.counting.rules;
        match quirk {
            Quirk::ReadsAndWritesSwapped => {
                rules.add(|rules, settings| {
                    rules.tracked = classes(|kind, tee| {
                        let other = match kind {
                            AccessKind::Read => AccessKind::Write,
                            AccessKind::Write => AccessKind::Read,
                        };
                        settings.filter.tracks(other, tee)
                    });
                });
            }
            Quirk::FilterReadsAndWrites => {
                rules.add(|rules, settings| {
                    rules.tracked = classes(|_, tee| {
                        let kinds = [AccessKind::Read, AccessKind::Write];
                        kinds.iter().any(|kind| settings.filter.tracks(*kind, tee))
                    });
                });
            }
            Quirk::FilterIgnored => rules.add(|rules, _| rules.tracked = classes(|_, _| true)),
            Quirk::TeeTracked => {
                rules.add(|rules, settings| {
                    rules.tracked = classes(|kind, _| settings.filter.tracks(kind, false));
                });
            }
            Quirk::TeeDropped => {
                rules.add(|rules, settings| {
                    rules.tracked = classes(|kind, tee| settings.filter.tracks(kind, tee) && !tee);
                });
            }
            Quirk::RangeIgnored => rules.add(|rules, _| rearrange(rules, |_, _| true)),
            Quirk::RangeInverted => {
                rules.add(|rules, _| rearrange(rules, |rules, range| !rules.ranges.has(range)));
            }
            Quirk::RangeShifted => {
                rules.add(|rules, _| {
                    rearrange(rules, |rules, range| {
                        let before = range.checked_sub(1);
                        before.is_some_and(|range| rules.ranges.has(range))
                    });
                });
            }
            Quirk::RangeGranularityDoubled => {
                rules.add(|rules, _| rearrange(rules, |rules, range| rules.ranges.has(range >> 1)));
            }
            Quirk::DownSamplingIgnored => rules.add(|rules, _| rules.down_sampling_log2 = 0),
            Quirk::DownSamplingDoubled => {
                rules.add(|rules, _| {
                    rules.down_sampling_log2 = rules.down_sampling_log2.saturating_add(1).min(15);
                });
            }
            Quirk::DownSamplingHalved => {
                rules.add(|rules, _| {
                    rules.down_sampling_log2 = rules.down_sampling_log2.saturating_sub(1);
                });
            }
            Quirk::RandomisedNotRandom => rules.add(|rules, _| rules.randomise = false),
            Quirk::RandomisedAlways => rules.add(|rules, _| rules.randomise = true),
            Quirk::InstancesShareCounters => self.counting.counts_per_request = |enabled| enabled,
            _ => {}
        }
    }

    pub(super) fn break_counting(&mut self, quirk: Quirk) {
        let rules = &mut self.counting.rules;
        match quirk {
            Quirk::CountWraps => rules.add(|rules, _| rules.maximum = u32::MAX),
            Quirk::CountSaturatesEarly => rules.add(|rules, _| rules.maximum >>= 1),
            Quirk::ThresholdExclusive => {
                rules.add(|rules, _| rules.threshold = rules.threshold.saturating_add(1));
            }
            Quirk::ThresholdIgnored => rules.add(|rules, _| rules.threshold = 1),
            Quirk::AlwaysOnKeepsCounter => rules.add(|rules, _| rules.always_on_frees = false),
            Quirk::AlwaysOnReportsOnce => {
                rules.add(|rules, _| {
                    rules.always_on_frees = false;
                    rules.always_on_once = true;
                });
            }
            Quirk::AlwaysOnCountWrong => {
                rules.add(|rules, _| rules.always_on_count = rules.maximum);
            }
            Quirk::LargeUnitsCapped => {
                rules.add(|rules, _| {
                    let limit = UnitSize::from_log2_bytes(CAPPED_UNIT_LOG2);
                    rules.unit_size = limit.map_or(rules.unit_size, |one| rules.unit_size.min(one));
                });
            }
            Quirk::SmallUnitsRounded => {
                rules.add(|rules, _| {
                    let limit = UnitSize::from_log2_bytes(ROUNDED_UNIT_LOG2);
                    rules.unit_size = limit.map_or(rules.unit_size, |one| rules.unit_size.max(one));
                });
            }
            Quirk::UnitSizeIgnored => rules.add(|rules, _| {
                let fixed = UnitSize::from_log2_bytes(FIXED_UNIT_LOG2);
                rules.unit_size = fixed.unwrap_or(rules.unit_size);
            }),
            Quirk::EpochInMilliseconds => rules.add(|rules, _| {
                scale_epoch(rules, |epoch_ns| {
                    let cut_off = epoch_ns.checked_rem(MILLISECOND_NS).unwrap_or(0);
                    epoch_ns.saturating_sub(cut_off).max(MILLISECOND_NS)
                });
            }),
            Quirk::EpochTwiceAsLong => {
                rules.add(|rules, _| scale_epoch(rules, |epoch_ns| epoch_ns.saturating_mul(2)));
            }
            Quirk::EpochHalfAsLong => {
                rules.add(|rules, _| scale_epoch(rules, |epoch_ns| epoch_ns >> 1))
            }
            Quirk::EpochMultiplierIgnored => {
                rules.add(|rules, settings| {
                    let scale_ns = settings.epoch.map(|epoch| epoch.scale().nanoseconds());
                    scale_epoch(rules, |epoch_ns| scale_ns.unwrap_or(epoch_ns));
                });
            }
            Quirk::EpochDrifts => {
                rules.add(|rules, settings| {
                    let epoch_ns = settings.epoch.map(EpochLength::nanoseconds);
                    rules.epoch_drift_ns = epoch_ns.unwrap_or(0) >> 3;
                });
            }
            Quirk::EpochReportsAtThreshold => {
                rules.add(|rules, _| rules.comparison = Comparison::AlwaysOn);
            }
            Quirk::EpochKeepsCounters => rules.add(|rules, _| rules.clearing = Clearing::None),
            Quirk::EpochKeepsColdCounters => rules.add(|rules, _| rules.clearing = Clearing::Hot),
            _ => {}
        }
    }
}

/// Tracks the ranges for which `tracked` holds.
fn rearrange(rules: &mut Rules, tracked: fn(&Rules, u64) -> bool) {
    rules.ranges = rules.ranges.rearranged(|range| tracked(rules, range));
}

fn scale_epoch(rules: &mut Rules, scaled: impl Fn(u64) -> u64) {
    match &mut rules.comparison {
        Comparison::Global { epoch_ns } | Comparison::PerCounter { epoch_ns } => {
            *epoch_ns = scaled(*epoch_ns);
        }
        Comparison::AlwaysOn => {}
    }
}
