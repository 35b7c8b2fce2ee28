// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Adapts a source's settings so that its list overflows rarely and says something.
//!
//! It looks at the reports of some windows, one an epoch, and changes one setting at a time:
//! - units larger than a page: asks for smaller ones, once;
//! - overflow: the threshold is too low, and doubles; where that leaves nothing to report, all is equally
//!   hot and more than fits, so only a part of the memory is watched, each part in its turn; where the
//!   threshold is as high as it gets, counters are full before the epoch ends, which is halved;
//! - nothing reported: the threshold is too high, and halves; from its least value on the epoch is too
//!   short, and doubles;
//! - what one window reports is cold in the next: the time scale is wrong, and the epoch changes, first
//!   to be shorter, and the other way when that made it worse.
//!
//! A setting that a user fixed stays.

use crate::ledger::TunedSetting;
use crate::report::{Tuning, WatchedRange};

#[cfg(test)]
mod tests;

/// Windows between two changes.
const WINDOWS: usize = 5;
/// So many of these with overflow are too many.
const OVERFLOWS: usize = 2;
/// Empty windows before it is believed that nothing will be reported.
const EMPTY_WINDOWS: usize = 4 * WINDOWS;
/// Fewer units than these say nothing of the time scale.
const UNITS_MIN: u64 = 16;
/// Below this part of units that are hot in the next window too, the time scale is wrong, in percent.
const AGAIN_MIN: u64 = 40;
/// Parts that memory is watched in, at most.
const PARTS_MAX: u64 = 1024;
const PAGE_BYTES: u64 = chmu_machine::memory::PAGE_BYTES;

/// What a source can be set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Least and greatest threshold. The least is the number of accesses from which on a page is hot at
    /// all, not what the device could tell.
    pub threshold: (u64, u64),
    /// Shortest and longest epoch.
    pub epoch_ns: (u64, u64),
    /// The memory to watch.
    pub ranges: Vec<WatchedRange>,
}

/// A source's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least weight of something hot.
    pub threshold: u64,
    /// Length of an epoch.
    pub epoch_ns: u64,
    /// Bytes of a unit.
    pub unit_bytes: u64,
}

/// Settings that a user fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fixed {
    /// The threshold.
    pub threshold: bool,
    /// The epoch.
    pub epoch: bool,
    /// The unit's size.
    pub unit: bool,
    /// The memory that is watched.
    pub ranges: bool,
}

/// One epoch's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Units reported.
    pub units: u64,
    /// Units of the window before that are reported again.
    pub again: u64,
    /// There were more than the list could hold.
    pub overflow: bool,
}

/// A change of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What to ask the source for.
    pub wish: Tuning,
    /// Which setting.
    pub setting: TunedSetting,
    /// Its value until now.
    pub from: u64,
    /// Its value from now on.
    pub to: u64,
    /// Why.
    pub reason: &'static str,
}

/// Adapts one source.
#[derive(Debug, Clone)]
pub struct Tuner {
    bounds: Bounds,
    fixed: Fixed,
    settings: Settings,
    /// The part of the memory that is watched, of so many.
    part: u64,
    parts: u64,
    windows: Vec<Window>,
    /// The threshold was doubled by the last change, because of overflow.
    has_raised: bool,
    /// The part of units that were hot again, in percent, before the last change of the epoch.
    again_before: Option<u64>,
    /// The epoch grows, where the time scale is wrong.
    grows: bool,
}

impl Tuner {
    /// Begins with the settings that a source has.
    pub fn new(settings: Settings, bounds: Bounds, fixed: Fixed) -> Tuner {
        Tuner {
            bounds,
            fixed,
            settings,
            part: 0,
            parts: 1,
            windows: Vec::new(),
            has_raised: false,
            again_before: None,
            grows: false,
        }
    }

    /// Takes a window into account; returns a change when it is time for one.
    pub fn window(&mut self, window: Window) -> Option<Change> {
        self.windows.push(window);
        if let Some(change) = self.finer_unit() {
            return Some(self.changed(change));
        }
        if self.windows.len() < WINDOWS {
            return None;
        }
        let recent = &self.windows[self.windows.len() - WINDOWS..];
        let overflows = recent.iter().filter(|window| window.overflow).count();
        let is_empty = self
            .windows
            .iter()
            .all(|window| window.units == 0 && !window.overflow);
        let change = if overflows >= OVERFLOWS {
            self.too_many()
        } else if is_empty {
            let needed = match self.has_raised || self.parts > 1 {
                true => WINDOWS,
                false => EMPTY_WINDOWS,
            };
            (self.windows.len() >= needed)
                .then(|| self.too_few())
                .flatten()
        } else {
            self.wrong_scale().or_else(|| self.next_part())
        };
        if change.is_none() && self.windows.len() >= EMPTY_WINDOWS {
            self.windows.drain(..WINDOWS);
        }
        change.map(|change| self.changed(change))
    }

    /// What the source took is what it has.
    pub fn granted(&mut self, granted: &Tuning) {
        let settings = &mut self.settings;
        settings.threshold = granted.threshold.unwrap_or(settings.threshold);
        settings.epoch_ns = granted.epoch_ns.unwrap_or(settings.epoch_ns);
        settings.unit_bytes = granted.unit_bytes.unwrap_or(settings.unit_bytes);
        // Larger than a page still: there is no smaller one.
        self.fixed.unit = true;
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    fn changed(&mut self, change: Change) -> Change {
        self.windows.clear();
        change
    }

    fn finer_unit(&mut self) -> Option<Change> {
        if self.fixed.unit || self.settings.unit_bytes <= PAGE_BYTES {
            return None;
        }
        let from = std::mem::replace(&mut self.settings.unit_bytes, PAGE_BYTES);
        self.fixed.unit = true;
        Some(Change {
            wish: Tuning {
                unit_bytes: Some(PAGE_BYTES),
                ..Tuning::default()
            },
            setting: TunedSetting::UnitBytes,
            from,
            to: PAGE_BYTES,
            reason: "a unit of several pages does not say which of them are hot",
        })
    }

    fn too_many(&mut self) -> Option<Change> {
        let (_, most) = self.bounds.threshold;
        let doubled = self.settings.threshold.saturating_mul(2).min(most);
        if !self.fixed.threshold && doubled > self.settings.threshold && self.parts == 1 {
            self.has_raised = true;
            return Some(self.set_threshold(doubled, "the list overflows"));
        }
        let halved = (self.settings.epoch_ns / 2).max(self.bounds.epoch_ns.0);
        if !self.fixed.epoch && self.parts == 1 && halved < self.settings.epoch_ns {
            return Some(self.set_epoch(halved, "the list overflows at the highest threshold"));
        }
        self.narrow()
    }

    fn too_few(&mut self) -> Option<Change> {
        if self.parts > 1 {
            return self.next_part();
        }
        let (least, _) = self.bounds.threshold;
        let halved = (self.settings.threshold / 2).max(least);
        if !self.fixed.threshold && halved < self.settings.threshold {
            if std::mem::take(&mut self.has_raised) && !self.fixed.ranges {
                // All that is hot is equally hot: the threshold as it was before, and less memory.
                self.settings.threshold = halved;
                return self.narrow();
            }
            return Some(self.set_threshold(halved, "nothing is reported"));
        }
        let doubled = self
            .settings
            .epoch_ns
            .saturating_mul(2)
            .min(self.bounds.epoch_ns.1);
        if !self.fixed.epoch && doubled > self.settings.epoch_ns {
            return Some(self.set_epoch(doubled, "nothing is reported at the lowest threshold"));
        }
        None
    }

    fn wrong_scale(&mut self) -> Option<Change> {
        let pairs = || {
            self.windows
                .windows(2)
                .filter(|pair| pair[0].units >= UNITS_MIN)
        };
        let before: u64 = pairs().map(|pair| pair[0].units).sum();
        let again: u64 = pairs().map(|pair| pair[1].again).sum();
        let again = (again * 100).checked_div(before)?;
        if self.fixed.epoch || again >= AGAIN_MIN {
            self.again_before = None;
            return None;
        }
        if self.again_before.is_some_and(|before| again < before) {
            self.grows = !self.grows;
        }
        self.again_before = Some(again);
        let (least, most) = self.bounds.epoch_ns;
        let epoch_ns = match self.grows {
            true => self.settings.epoch_ns.saturating_mul(4).min(most),
            false => (self.settings.epoch_ns / 2).max(least),
        };
        if epoch_ns == self.settings.epoch_ns {
            return None;
        }
        Some(self.set_epoch(
            epoch_ns,
            "what is reported is not hot any more in the next epoch",
        ))
    }

    fn narrow(&mut self) -> Option<Change> {
        if self.fixed.ranges || self.parts >= PARTS_MAX || self.bounds.ranges.is_empty() {
            return None;
        }
        self.part *= 2;
        self.parts *= 2;
        Some(self.watch("more is equally hot than the list holds"))
    }

    /// The turn of the next part, where memory is watched in parts.
    fn next_part(&mut self) -> Option<Change> {
        if self.parts == 1 {
            return None;
        }
        self.part = (self.part + 1) % self.parts;
        Some(self.watch("memory is watched in parts, each in its turn"))
    }

    fn watch(&self, reason: &'static str) -> Change {
        let ranges = part_of(&self.bounds.ranges, self.part, self.parts);
        let bytes = |ranges: &[WatchedRange]| ranges.iter().map(bytes_of).sum();
        Change {
            setting: TunedSetting::WatchedBytes,
            from: bytes(&self.bounds.ranges),
            to: bytes(&ranges),
            wish: Tuning {
                threshold: Some(self.settings.threshold),
                ranges: Some(ranges),
                ..Tuning::default()
            },
            reason,
        }
    }

    fn set_threshold(&mut self, to: u64, reason: &'static str) -> Change {
        let from = std::mem::replace(&mut self.settings.threshold, to);
        Change {
            wish: Tuning {
                threshold: Some(to),
                ..Tuning::default()
            },
            setting: TunedSetting::Threshold,
            from,
            to,
            reason,
        }
    }

    fn set_epoch(&mut self, to: u64, reason: &'static str) -> Change {
        let from = std::mem::replace(&mut self.settings.epoch_ns, to);
        Change {
            wish: Tuning {
                epoch_ns: Some(to),
                ..Tuning::default()
            },
            setting: TunedSetting::EpochNs,
            from,
            to,
            reason,
        }
    }
}

fn bytes_of(range: &WatchedRange) -> u64 {
    match *range {
        WatchedRange::Device { bytes, .. } => bytes,
        WatchedRange::Frames { pages, .. } => pages.saturating_mul(PAGE_BYTES),
    }
}

/// One of `parts` equal parts of some memory, in whole pages.
fn part_of(ranges: &[WatchedRange], part: u64, parts: u64) -> Vec<WatchedRange> {
    let pages = |range: &WatchedRange| bytes_of(range).div_ceil(PAGE_BYTES);
    let all: u64 = ranges.iter().map(pages).sum();
    let share = |number: u64| {
        let share = u128::from(all) * u128::from(number) / u128::from(parts.max(1));
        u64::try_from(share).unwrap_or(all)
    };
    let (start, end) = (share(part), share(part + 1));
    let mut found = Vec::new();
    let mut before = 0;
    for range in ranges {
        let (first, last) = (before, before + pages(range));
        before = last;
        let (from, to) = (start.max(first), end.min(last));
        if from >= to {
            continue;
        }
        let (skip, count) = (from - first, to - from);
        found.push(match *range {
            WatchedRange::Device {
                member,
                start,
                bytes,
            } => WatchedRange::Device {
                member,
                start: chmu_spec::address::Dpa(start.0 + skip * PAGE_BYTES),
                bytes: (count * PAGE_BYTES).min(bytes - skip * PAGE_BYTES),
            },
            WatchedRange::Frames { start, .. } => WatchedRange::Frames {
                start: chmu_spec::address::Pfn(start.0 + skip),
                pages: count,
            },
        });
    }
    found
}
