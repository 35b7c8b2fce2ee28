// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The rules by which an enabled instance counts, ready for use.

use chmu_spec::access::Access;
use chmu_spec::address::Dpa;
use chmu_spec::chmu::EpochType;
use chmu_spec::hotlist::maximum_count;
use chmu_spec::request::AccessKind;
use chmu_spec::unit_size::UnitSize;

use crate::capabilities::Capabilities;
use crate::settings::Settings;
use crate::tracker::{Clearing, RangeBitmap};

/// When counts are compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// At the end of an epoch that all units share.
    Global { epoch_ns: u64 },
    /// When a unit's own epoch ends.
    PerCounter { epoch_ns: u64 },
    /// At each request: a unit is reported as soon as it is hot.
    AlwaysOn,
}

/// The rules by which an enabled instance counts.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Bit n: requests of class n are tracked.
    pub(crate) tracked: u8,
    pub(crate) ranges: RangeBitmap,
    pub(crate) capacity_bytes: u64,
    pub(crate) unit_size: UnitSize,
    pub(crate) counter_width: u8,
    /// The largest count, at which counters stay.
    pub(crate) maximum: u32,
    /// 1 at least: a unit without a request is never hot.
    pub(crate) threshold: u32,
    pub(crate) down_sampling_log2: u8,
    /// Down-sampling is random, from `seed` on.
    pub(crate) randomise: bool,
    pub(crate) seed: u64,
    pub(crate) comparison: Comparison,
    /// How much longer every global epoch after the first lasts.
    pub(crate) epoch_drift_ns: u64,
    /// What becomes of the counters at the end of a global epoch.
    pub(crate) clearing: Clearing,
    /// Count of the entries in always-on mode.
    pub(crate) always_on_count: u32,
    /// In always-on mode a reported unit starts again from zero.
    pub(crate) always_on_frees: bool,
    /// In always-on mode a unit is reported at the threshold, not above.
    pub(crate) always_on_once: bool,
}

impl Rules {
    pub(crate) fn new(
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
            randomise: settings.randomise,
            seed: capabilities.seed,
            comparison,
            epoch_drift_ns: 0,
            clearing: Clearing::All,
            always_on_count: threshold,
            always_on_frees: true,
            always_on_once: false,
        }
    }

    /// Number of units that the device's memory has.
    pub(crate) fn units(&self) -> u64 {
        self.capacity_bytes.div_ceil(self.unit_size.bytes())
    }
}

/// Bit n: requests of class n are tracked.
pub(crate) fn classes(tracks: impl Fn(AccessKind, bool) -> bool) -> u8 {
    let kinds = [AccessKind::Read, AccessKind::Write];
    let all = kinds
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)]);
    all.filter(|(kind, tee)| tracks(*kind, *tee))
        .fold(0, |bits, (kind, tee)| {
            bits | 1 << Access::new(Dpa(0), kind, tee).class()
        })
}
