// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Other settings for units that count.

use std::ops::Range;

use chmu_driver::device::{Capabilities, Settings, Unit, UnitError};
use chmu_spec::address::Dpa;
use chmu_spec::chmu::{Mode, RANGE_BYTES};
use chmu_spec::epoch::EpochLength;
use chmu_spec::hotlist::maximum_count;
use chmu_spec::unit_size::UnitSize;

use super::member::Member;
use crate::report::{self, Bounds, Fixed, Tunable, Tuning, WatchedRange};

/// Fewer accesses in an epoch make no page hot, however little else there is.
const THRESHOLD_MIN: u64 = 4;
/// No epoch is made shorter: each costs an interrupt and a reading.
const EPOCH_MIN_NS: u64 = 10_000_000;
/// No epoch is made longer: a page is promoted when it has been hot for one.
const EPOCH_MAX_NS: u64 = 1_000_000_000;

/// What can be adapted about units that are programmed: what all of them take.
pub(super) fn tunable(members: &[Member], now: &Tuning) -> Option<Tunable> {
    let settings = engine_settings(now)?;
    let units = || members.iter().map(|member| &member.unit);
    let counters = units().filter_map(Unit::counter_width);
    let highest = maximum_count(counters.min()?).min(u32::MAX.into());
    let epoch = |of: fn(&Capabilities) -> Option<EpochLength>| {
        let epochs = units().filter_map(move |unit| of(unit.capabilities()));
        epochs.map(EpochLength::nanoseconds)
    };
    let shortest = epoch(|one| one.minimum_epoch).max().unwrap_or(0);
    let longest = epoch(|one| one.maximum_epoch).min().unwrap_or(u64::MAX);
    let has_epochs = units()
        .filter_map(Unit::settings)
        .all(|settings| settings.mode == Mode::Epoch);
    let ranges = now.ranges.clone().unwrap_or_default();
    let bytes = |range: &WatchedRange| match *range {
        WatchedRange::Device { bytes, .. } => bytes,
        WatchedRange::Frames { .. } => 0,
    };
    let watched: u64 = ranges.iter().map(bytes).sum();
    Some(Tunable {
        settings,
        bounds: Bounds {
            threshold: (THRESHOLD_MIN.min(highest), highest),
            epoch_ns: (
                EPOCH_MIN_NS.max(shortest).min(settings.epoch_ns),
                EPOCH_MAX_NS.min(longest).max(settings.epoch_ns),
            ),
            // A bit of the bitmap stands for so much.
            parts: (watched / RANGE_BYTES).max(1),
            ranges,
        },
        fixed: Fixed {
            epoch: !has_epochs,
            ..Fixed::default()
        },
    })
}

fn engine_settings(now: &Tuning) -> Option<report::Settings> {
    Some(report::Settings {
        threshold: now.threshold?,
        epoch_ns: now.epoch_ns?,
        unit_bytes: now.unit_bytes?,
    })
}

impl Member {
    /// The settings that come closest to a wish: what the unit does not have stays as it is.
    pub(super) fn closest(&self, number: usize, wish: &Tuning) -> Option<Settings> {
        let mut settings = self.unit.settings()?.clone();
        let capabilities = self.unit.capabilities();
        if let Some(epoch_ns) = wish.epoch_ns
            && let Ok(with_epoch) = settings.with_epoch(capabilities, epoch_ns)
        {
            settings = with_epoch;
        }
        if let Some(threshold) = wish.threshold {
            settings.threshold = u32::try_from(threshold).unwrap_or(u32::MAX).max(1);
        }
        let size = wish.unit_bytes.and_then(UnitSize::from_bytes);
        if let Some(size) = size.filter(|&size| capabilities.unit_sizes.contains(size))
            && self.translation.check_unit(size).is_ok()
        {
            settings.unit_size = size;
        }
        if let Some(ranges) = &wish.ranges {
            settings.ranges = self.watched(number, ranges);
        }
        Some(settings)
    }

    /// The device memory among `ranges` that is this member's and appears in the host; all of that when
    /// there are none.
    fn watched(&self, number: usize, ranges: &[WatchedRange]) -> Vec<Range<Dpa>> {
        let all = self.translation.dpa_ranges();
        if ranges.is_empty() {
            return all;
        }
        let wished = ranges.iter().filter_map(|range| match *range {
            WatchedRange::Device {
                member,
                start,
                bytes,
            } if member == number => Some(start..Dpa(start.0.saturating_add(bytes))),
            WatchedRange::Device { .. } | WatchedRange::Frames { .. } => None,
        });
        let parts = wished.flat_map(|wished| {
            let part = move |one: &Range<Dpa>| one.start.max(wished.start)..one.end.min(wished.end);
            all.iter().map(part).collect::<Vec<_>>()
        });
        let mut parts: Vec<_> = parts.filter(|part| part.start < part.end).collect();
        parts.sort_unstable_by_key(|part| part.start);
        parts
    }

    /// Programs other settings and counts on; with those it had when the unit does not take them.
    ///
    /// # Errors
    /// When the unit takes neither.
    pub(super) fn reprogram(&mut self, settings: Settings) -> Result<(), UnitError> {
        let Some(before) = self.unit.settings().cloned() else {
            return Err(UnitError::NotProgrammed);
        };
        match self.unit.program(settings) {
            Ok(()) => {}
            Err(UnitError::Gone) => return Err(UnitError::Gone),
            Err(error) => {
                log::debug!("{} keeps its settings: {error}", self.unit.name());
                self.unit.program(before)?;
            }
        }
        self.enable()
    }

    /// What it watches now.
    pub(super) fn ranges(&self, number: usize) -> impl Iterator<Item = WatchedRange> {
        let ranges = self.unit.settings().map(|settings| &*settings.ranges);
        let ranges = ranges.unwrap_or_default().iter();
        ranges.map(move |range| WatchedRange::Device {
            member: number,
            start: range.start,
            bytes: range.end.0.saturating_sub(range.start.0),
        })
    }
}
