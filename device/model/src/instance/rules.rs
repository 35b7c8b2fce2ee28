// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The rules by which an enabled instance counts, ready for use.

use chmu_spec::chmu::EpochType;
use chmu_spec::epoch::EpochLength;
use chmu_spec::hotlist::maximum_count;
use chmu_spec::request::{AccessKind, RequestFilter};
use chmu_spec::unit_size::UnitSize;

use crate::capabilities::Capabilities;
use crate::quirk::Quirk;
use crate::tracker::{Clearing, RangeBitmap};

use super::settings::Settings;

/// log2 of the largest unit of an instance that takes no larger ones.
const CAPPED_UNIT_LOG2: u8 = 21;

/// log2 of the smallest unit of an instance that takes no smaller ones.
const ROUNDED_UNIT_LOG2: u8 = 16;

/// When counts are compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// At the end of an epoch that all units share.
    Global { epoch_ns: u64 },
    /// When a unit's own epoch ends.
    PerCounter { epoch_ns: u64 },
    /// At each request.
    AlwaysOn,
}

/// The rules by which an enabled instance counts.
#[derive(Debug)]
pub(super) struct Rules {
    /// Bit n: requests of class n are tracked.
    pub(super) tracked: u8,
    pub(super) ranges: RangeBitmap,
    pub(super) capacity_bytes: u64,
    pub(super) unit_size: UnitSize,
    pub(super) counter_width: u8,
    /// The largest count.
    pub(super) maximum: u32,
    /// 1 at least: a unit without a request is never hot.
    pub(super) threshold: u32,
    pub(super) down_sampling_log2: u8,
    /// None when down-sampling is regular.
    pub(super) seed: Option<u64>,
    pub(super) comparison: Comparison,
    /// How much longer every global epoch after the first lasts.
    pub(super) epoch_drift_ns: u64,
    /// What becomes of the counters at the end of a global epoch.
    pub(super) clearing: Clearing,
    /// Count of the entries in always-on mode.
    pub(super) always_on_count: u32,
    /// In always-on mode a reported unit starts again from zero.
    pub(super) always_on_frees: bool,
    /// In always-on mode a unit is reported at the threshold, not above.
    pub(super) always_on_once: bool,
}

impl Rules {
    pub(super) fn new(
        settings: &Settings,
        capabilities: &Capabilities,
        ranges: &RangeBitmap,
        capacity_bytes: u64,
    ) -> Self {
        let comparison = match (settings.epoch, capabilities.epoch_type) {
            (None, _) => Comparison::AlwaysOn,
            (Some(epoch), EpochType::Global) => Comparison::Global {
                epoch_ns: epoch.nanoseconds(),
            },
            (Some(epoch), EpochType::PerCounter) => Comparison::PerCounter {
                epoch_ns: epoch.nanoseconds(),
            },
        };
        let threshold = settings.threshold.max(1);
        Self {
            tracked: classes(|kind, tee| settings.filter.tracks(kind, tee)),
            ranges: ranges.clone(),
            capacity_bytes,
            unit_size: settings.unit_size,
            counter_width: settings.counter_width,
            maximum: u32::try_from(maximum_count(settings.counter_width)).unwrap_or(u32::MAX),
            threshold,
            down_sampling_log2: settings.down_sampling_log2,
            seed: settings.randomise.then_some(capabilities.seed),
            comparison,
            epoch_drift_ns: 0,
            clearing: Clearing::All,
            always_on_count: threshold,
            always_on_frees: true,
            always_on_once: false,
        }
    }

    /// The rules with one broken.
    pub(super) fn broken(mut self, quirk: Quirk, settings: &Settings, seed: u64) -> Self {
        let log2 = self.down_sampling_log2;
        match quirk {
            Quirk::ReadsAndWritesSwapped
            | Quirk::FilterIgnored
            | Quirk::TeeTracked
            | Quirk::TeeDropped => self.tracked = broken_filter(quirk, settings.filter),
            Quirk::RangeIgnored
            | Quirk::RangeInverted
            | Quirk::RangeShifted
            | Quirk::RangeGranularityDoubled => self.ranges = broken_ranges(quirk, &self.ranges),
            Quirk::DownSamplingIgnored => self.down_sampling_log2 = 0,
            Quirk::DownSamplingDoubled => self.down_sampling_log2 = log2.saturating_add(1).min(15),
            Quirk::DownSamplingHalved => self.down_sampling_log2 = log2.saturating_sub(1),
            Quirk::RandomisedNotRandom => self.seed = None,
            Quirk::RandomisedAlways => self.seed = Some(seed),
            Quirk::CountWraps => self.maximum = u32::MAX,
            Quirk::CountSaturatesEarly => self.maximum >>= 1,
            Quirk::ThresholdExclusive => self.threshold = self.threshold.saturating_add(1),
            Quirk::ThresholdIgnored => self.threshold = 1,
            Quirk::AlwaysOnKeepsCounter => self.always_on_frees = false,
            Quirk::AlwaysOnReportsOnce => {
                self.always_on_frees = false;
                self.always_on_once = true;
            }
            Quirk::AlwaysOnCountWrong => self.always_on_count = self.maximum,
            Quirk::LargeUnitsCapped => self.unit_size = capped(self.unit_size),
            Quirk::SmallUnitsRounded => self.unit_size = rounded(self.unit_size),
            Quirk::EpochTwiceAsLong => self.scale_epoch(|epoch_ns| epoch_ns.saturating_mul(2)),
            Quirk::EpochHalfAsLong => self.scale_epoch(|epoch_ns| epoch_ns >> 1),
            Quirk::EpochMultiplierIgnored => {
                let scale_ns = settings.epoch.map(|epoch| epoch.scale().nanoseconds());
                self.scale_epoch(|epoch_ns| scale_ns.unwrap_or(epoch_ns));
            }
            Quirk::EpochDrifts => {
                let epoch_ns = settings.epoch.map(EpochLength::nanoseconds);
                self.epoch_drift_ns = epoch_ns.unwrap_or(0) >> 3;
            }
            Quirk::EpochReportsAtThreshold => self.comparison = Comparison::AlwaysOn,
            Quirk::EpochKeepsCounters => self.clearing = Clearing::None,
            Quirk::EpochKeepsColdCounters => self.clearing = Clearing::Hot,
            _ => {}
        }
        self
    }

    /// Units that are counted.
    pub(super) fn units(&self) -> u64 {
        self.capacity_bytes.div_ceil(self.unit_size.bytes())
    }

    fn scale_epoch(&mut self, scaled: impl Fn(u64) -> u64) {
        match &mut self.comparison {
            Comparison::Global { epoch_ns } | Comparison::PerCounter { epoch_ns } => {
                *epoch_ns = scaled(*epoch_ns);
            }
            Comparison::AlwaysOn => {}
        }
    }
}

/// The class of a request: bit 0 write, bit 1 from a trusted execution environment.
pub(super) fn class(kind: AccessKind, tee: bool) -> u8 {
    u8::from(kind == AccessKind::Write) | u8::from(tee) << 1
}

/// Bit n: requests of class n are tracked.
fn classes(tracks: impl Fn(AccessKind, bool) -> bool) -> u8 {
    let kinds = [AccessKind::Read, AccessKind::Write];
    let all = kinds
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)]);
    all.filter(|(kind, tee)| tracks(*kind, *tee))
        .fold(0, |bits, (kind, tee)| bits | 1 << class(kind, tee))
}

fn broken_filter(quirk: Quirk, filter: RequestFilter) -> u8 {
    classes(|kind, tee| match (quirk, kind) {
        (Quirk::ReadsAndWritesSwapped, AccessKind::Read) => filter.tracks(AccessKind::Write, tee),
        (Quirk::ReadsAndWritesSwapped, AccessKind::Write) => filter.tracks(AccessKind::Read, tee),
        (Quirk::TeeTracked, _) => filter.tracks(kind, false),
        (Quirk::TeeDropped, _) => filter.tracks(kind, tee) && !tee,
        _ => true,
    })
}

fn broken_ranges(quirk: Quirk, ranges: &RangeBitmap) -> RangeBitmap {
    ranges.rearranged(|range| match quirk {
        Quirk::RangeInverted => !ranges.has(range),
        Quirk::RangeShifted => range.checked_sub(1).is_some_and(|range| ranges.has(range)),
        Quirk::RangeGranularityDoubled => ranges.has(range >> 1),
        _ => true,
    })
}

fn capped(size: UnitSize) -> UnitSize {
    let limit = UnitSize::from_log2_bytes(u32::from(CAPPED_UNIT_LOG2));
    limit.map_or(size, |limit| size.min(limit))
}

fn rounded(size: UnitSize) -> UnitSize {
    let limit = UnitSize::from_log2_bytes(u32::from(ROUNDED_UNIT_LOG2));
    limit.map_or(size, |limit| size.max(limit))
}
