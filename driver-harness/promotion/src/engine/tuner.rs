// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Adapts a source's settings so that its list overflows rarely and says something.
//!
//! It begins with the usual settings, by which a page is hot, looks at the reports of some windows, one
//! an epoch, and changes a setting at a time:
//! - units larger than a page: asks for smaller ones, once;
//! - overflow: the threshold is too low. It goes between the hot ones and the others where their
//!   weights lie far apart, and doubles otherwise; where that leaves nothing to report, all is equally
//!   hot and more than fits, so only a part of the memory is watched, each part in its turn; where the
//!   threshold is as high as it gets, counters are full before the epoch ends, which is halved;
//! - nothing reported, ever: the threshold is too high, and halves; from its least value on the epoch
//!   is too short, and doubles. Once something was found, nothing more means that it was promoted:
//!   looking closer would only find what is cold;
//! - most of what the first settings below the usual ones report barely reaches their threshold: others
//!   of its kind, which do not reach it now, are as hot. The same is done as where nothing is reported;
//! - what one window reports is cold in the next: the time scale is wrong, and the epoch changes, first
//!   to be shorter, and the other way when that made it worse.
//!
//! Below the usual settings every page that is touched at all may be reported, so that nothing is
//! promoted before two windows were looked at, and nothing at all while something in the report is hot
//! by the usual measure: then the usual settings are the right ones again. Nor is a list that overflows
//! believed while the threshold can rise ([`Tuner::doubts`]). What is promoted then was reported in
//! several windows.
//!
//! A setting that a user fixed stays.

use crate::ledger::TunedSetting;
use crate::report::{Bounds, Fixed, Settings, Tunable, Tuning};

mod parts;
#[cfg(test)]
mod tests;
mod window;

pub use window::Window;

/// Windows between two changes.
const WINDOWS: usize = 5;
/// So many of these with overflow are too many.
const OVERFLOWS: usize = 2;
/// Empty windows before it is believed that nothing will be reported.
const EMPTY_WINDOWS: usize = 4 * WINDOWS;
/// Empty windows, after something was found between the hot ones and the others, before less is hot again.
const RELAX_WINDOWS: usize = 10 * EMPTY_WINDOWS;
/// Windows with units that are looked at before settings below the usual ones are trusted.
const LOOKS: usize = 2;
/// Fewer units than these say nothing of the time scale.
const UNITS_MIN: u64 = 16;
/// So many windows with as many units say something of it.
const PAIRS_MIN: usize = 3;
/// Below this part of units that are hot in the next window too, the time scale is wrong, in percent.
const AGAIN_MIN: u64 = 40;
const PAGE_BYTES: u64 = chmu_machine::memory::PAGE_BYTES;

/// A wish for other settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What to ask the source for.
    pub wish: Tuning,
    /// Why.
    pub reason: &'static str,
}

/// A setting that was asked for, and what the source made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Which.
    pub setting: TunedSetting,
    /// Its value until now.
    pub from: u64,
    /// Its value from now on.
    pub to: u64,
}

/// Adapts one source.
#[derive(Debug, Clone)]
pub struct Tuner {
    bounds: Bounds,
    fixed: Fixed,
    settings: Settings,
    /// By these a page is hot.
    usual: Settings,
    /// Settings and watched bytes before the change that the source was asked for, and the wish.
    asked: Option<(Settings, u64, Tuning)>,
    watched_bytes: u64,
    /// The part of the memory that is watched, of so many.
    part: u64,
    parts: u64,
    /// Parts in a row that had nothing to report.
    empty_parts: u64,
    windows: Vec<Window>,
    /// The threshold before it was raised because of overflow.
    raised_from: Option<u64>,
    /// The threshold rose for want of room in the list, and not to where the hot ones end: what it
    /// leaves out is hot as well.
    is_for_room: bool,
    /// A higher threshold leaves nothing: all is equally hot.
    is_equal: bool,
    /// Settings below the usual ones were looked at.
    is_trusted: bool,
    /// Once they were trusted, since what was reported was last hot by the usual ones.
    was_trusted: bool,
    /// Something was reported that is believed.
    has_found: bool,
    /// The part of units that were hot again, in percent, before the last change of the epoch.
    again_before: Option<u64>,
    /// The epoch grows, where the time scale is wrong.
    grows: bool,
}

impl Tuner {
    /// Begins with the settings that a source has, which are the usual ones.
    pub fn new(tunable: Tunable, fixed: Fixed) -> Tuner {
        let Tunable {
            settings,
            bounds,
            fixed: by_nature,
        } = tunable;
        Tuner {
            fixed: Fixed {
                threshold: fixed.threshold || by_nature.threshold,
                epoch: fixed.epoch || by_nature.epoch,
                unit: fixed.unit || by_nature.unit,
                ranges: fixed.ranges || by_nature.ranges,
            },
            settings,
            usual: settings,
            asked: None,
            watched_bytes: parts::bytes(&bounds.ranges),
            bounds,
            part: 0,
            parts: 1,
            empty_parts: 0,
            windows: Vec::new(),
            raised_from: None,
            is_for_room: false,
            is_equal: false,
            is_trusted: false,
            was_trusted: false,
            has_found: false,
            again_before: None,
            grows: false,
        }
    }

    /// Takes a window into account; returns a change when it is time for one. None may be handed in
    /// until the source took that ([`Tuner::granted`]).
    pub fn window(&mut self, window: Window) -> Option<Change> {
        if self.windows.len() >= RELAX_WINDOWS {
            self.windows.remove(0);
        }
        self.windows.push(window);
        let (before, watched_bytes) = (self.settings, self.watched_bytes);
        let change = self
            .finer_unit()
            .or_else(|| self.hot_after_all(window))
            .or_else(|| self.overflowed())
            .or_else(|| self.look_closer())
            .or_else(|| self.at_leisure())?;
        self.windows.clear();
        self.asked = Some((before, watched_bytes, change.wish.clone()));
        Some(change)
    }

    /// Whether a report, with or without overflow and with this greatest weight, says too little of what
    /// is hot to promote by it.
    pub fn doubts(&self, overflow: bool, hottest: u64) -> bool {
        (overflow && self.can_rise())
            || (self.is_low() && (!self.is_trusted || self.is_usually_hot(hottest)))
    }

    /// What the source took is what it has; none when it took nothing. Returns what was asked for, and
    /// what came of it.
    pub fn granted(&mut self, granted: Option<&Tuning>) -> Vec<Granted> {
        let Some((before, watched_bytes, wish)) = self.asked.take() else {
            return Vec::new();
        };
        let nothing = Tuning::default();
        let took = granted.unwrap_or(&nothing);
        let wished = self.settings;
        self.settings = Settings {
            threshold: took.threshold.unwrap_or(before.threshold),
            epoch_ns: took.epoch_ns.unwrap_or(before.epoch_ns),
            unit_bytes: took.unit_bytes.unwrap_or(before.unit_bytes),
        };
        let ranges = took.ranges.as_deref();
        self.watched_bytes = ranges.map_or(watched_bytes, parts::bytes);
        let now = self.settings;
        bound(
            &mut self.bounds.threshold,
            (before.threshold, wished.threshold, now.threshold),
        );
        bound(
            &mut self.bounds.epoch_ns,
            (before.epoch_ns, wished.epoch_ns, now.epoch_ns),
        );
        // Larger than a page still: there is no smaller one.
        self.fixed.unit = true;
        self.fixed.ranges |= wish.ranges.is_some() && ranges.is_none();
        let asked = |is: bool, setting, from, to| is.then_some(Granted { setting, from, to });
        [
            asked(
                wish.threshold.is_some(),
                TunedSetting::Threshold,
                before.threshold,
                now.threshold,
            ),
            asked(
                wish.epoch_ns.is_some(),
                TunedSetting::EpochNs,
                before.epoch_ns,
                now.epoch_ns,
            ),
            asked(
                wish.unit_bytes.is_some(),
                TunedSetting::UnitBytes,
                before.unit_bytes,
                now.unit_bytes,
            ),
            asked(
                wish.ranges.is_some(),
                TunedSetting::WatchedBytes,
                watched_bytes,
                self.watched_bytes,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The settings as they are now, or as they were asked for.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Nothing is about to change as long as the source says the same.
    pub fn is_settled(&self) -> bool {
        let Fixed {
            threshold,
            epoch,
            ranges,
            ..
        } = self.fixed;
        let is_quiet = self.recent_overflows() == 0 || !self.can_rise();
        let Settings {
            threshold: now,
            epoch_ns,
            ..
        } = self.settings;
        let has_room = threshold || !self.is_for_room || now <= self.usual.threshold;
        let has_arrived = self.has_found && self.parts == 1 && is_quiet && has_room;
        let is_lowest = (threshold || now <= self.bounds.threshold.0)
            && (epoch || epoch_ns >= self.bounds.epoch_ns.1)
            && self.raised_from.is_none();
        self.asked.is_none() && (has_arrived || is_lowest || (threshold && epoch && ranges))
    }

    /// Whether less is hot by the settings of now than by the usual ones: fewer accesses in a time.
    pub fn is_low(&self) -> bool {
        let (now, usual) = (self.settings, self.usual);
        rate(now.threshold, usual.epoch_ns) < rate(usual.threshold, now.epoch_ns)
    }

    /// Whether a weight of now is hot by the usual settings.
    fn is_usually_hot(&self, weight: u64) -> bool {
        let (now, usual) = (self.settings, self.usual);
        rate(weight, usual.epoch_ns) >= rate(usual.threshold, now.epoch_ns)
    }

    fn can_rise(&self) -> bool {
        let (_, most) = self.bounds.threshold;
        let is_open = !self.fixed.threshold && !self.is_equal && self.parts == 1;
        is_open && self.settings.threshold < most
    }

    fn recent(&self) -> &[Window] {
        &self.windows[self.windows.len().saturating_sub(WINDOWS)..]
    }

    fn recent_overflows(&self) -> usize {
        let overflows = self.recent().iter().filter(|window| window.overflow);
        overflows.count()
    }

    fn finer_unit(&mut self) -> Option<Change> {
        if self.fixed.unit || self.settings.unit_bytes <= PAGE_BYTES {
            return None;
        }
        self.settings.unit_bytes = PAGE_BYTES;
        self.fixed.unit = true;
        Some(Change {
            wish: Tuning {
                unit_bytes: Some(PAGE_BYTES),
                ..Tuning::default()
            },
            reason: "a unit of several pages does not say which of them are hot",
        })
    }

    /// Back to the usual settings, where something is hot by them.
    fn hot_after_all(&mut self, window: Window) -> Option<Change> {
        if !self.is_low() || !self.is_usually_hot(window.hottest) {
            return None;
        }
        let Settings {
            threshold,
            epoch_ns,
            ..
        } = self.usual;
        let wish = Tuning {
            threshold: (threshold != self.settings.threshold).then_some(threshold),
            epoch_ns: (epoch_ns != self.settings.epoch_ns).then_some(epoch_ns),
            ..Tuning::default()
        };
        self.settings.threshold = threshold;
        self.settings.epoch_ns = epoch_ns;
        self.was_trusted = false;
        self.begin_anew();
        Some(Change {
            wish,
            reason: "what is reported is hot by the usual settings too",
        })
    }

    /// Settings below the usual ones are trusted when some windows tell no two kinds of pages apart.
    fn look_closer(&mut self) -> Option<Change> {
        if self.is_low() && !self.is_trusted {
            let looks = self.windows.iter().filter(|window| window.units > 0);
            if looks.clone().count() < LOOKS {
                return None;
            }
            let gap = looks.filter_map(|window| window.gap).max();
            if let Some(gap) = gap.filter(|gap| *gap > self.settings.threshold)
                && !self.fixed.threshold
            {
                return Some(self.set_threshold(gap, "hot and cold units are reported together"));
            }
            if let Some(change) = self.barely_hot() {
                return Some(change);
            }
            (self.is_trusted, self.was_trusted) = (true, true);
        }
        let is_believed =
            |window: &Window| window.units > 0 && !(window.overflow && self.can_rise());
        self.has_found |= self.windows.last().is_some_and(is_believed);
        None
    }

    /// The next lower threshold, where there is one.
    fn halved(&self) -> Option<u64> {
        let halved = (self.settings.threshold / 2).max(self.bounds.threshold.0);
        (!self.fixed.threshold && halved < self.settings.threshold).then_some(halved)
    }

    /// The next longer epoch, where there is one.
    fn doubled(&self) -> Option<u64> {
        let doubled = self.settings.epoch_ns.saturating_mul(2);
        let doubled = doubled.min(self.bounds.epoch_ns.1);
        (!self.fixed.epoch && doubled > self.settings.epoch_ns).then_some(doubled)
    }

    fn overflowed(&mut self) -> Option<Change> {
        if self.recent_overflows() < OVERFLOWS {
            return None;
        }
        if self.can_rise() {
            let now = self.settings.threshold;
            let overflows = self.recent().iter().filter(|window| window.overflow);
            let gap = overflows.filter_map(|window| window.gap).max();
            let (_, most) = self.bounds.threshold;
            let wished = gap
                .filter(|gap| *gap > now)
                .unwrap_or(now.saturating_mul(2));
            // What was equally hot may be told apart for a moment, on a machine that others hold up.
            self.is_for_room &= now > self.usual.threshold;
            let change = self.set_threshold(wished.min(most), "the list overflows");
            self.raised_from = Some(now);
            return Some(change);
        }
        let halved = (self.settings.epoch_ns / 2).max(self.bounds.epoch_ns.0);
        let may_shorten = !self.fixed.epoch && !self.is_equal && self.parts == 1;
        if may_shorten && halved < self.settings.epoch_ns {
            return Some(self.set_epoch(halved, "the list overflows at the highest threshold"));
        }
        self.narrow()
    }

    /// What needs no haste.
    fn at_leisure(&mut self) -> Option<Change> {
        if self.windows.len() < WINDOWS {
            return None;
        }
        let is_empty = |window: &&Window| window.units == 0 && !window.overflow;
        let empty = self.windows.iter().rev().take_while(is_empty).count();
        if empty < WINDOWS {
            return self.wrong_scale().or_else(|| {
                self.empty_parts = 0;
                self.next_part()
            });
        }
        let needed = match (self.parts > 1, self.has_found, self.raised_from) {
            (true, ..) | (_, false, Some(_)) => WINDOWS,
            (_, true, _) if !self.is_for_room => RELAX_WINDOWS,
            (_, true, _) | (_, false, None) => EMPTY_WINDOWS,
        };
        (empty >= needed).then(|| self.too_few()).flatten()
    }

    fn too_few(&mut self) -> Option<Change> {
        if self.parts > 1 {
            self.empty_parts += 1;
            return match self.empty_parts >= self.parts {
                true => Some(self.watch_all()),
                false => self.next_part(),
            };
        }
        if self.has_found {
            self.is_equal = false;
            let halved = (self.settings.threshold / 2).max(self.usual.threshold);
            let may_relax = !self.fixed.threshold && halved < self.settings.threshold;
            return may_relax.then(|| self.set_threshold(halved, "nothing is as hot any more"));
        }
        if let Some(before) = self.raised_from.take() {
            (self.is_equal, self.is_for_room) = (true, true);
            self.settings.threshold = before;
            return self
                .narrow()
                .or_else(|| Some(self.set_threshold(before, "all that is hot is equally hot")));
        }
        if let Some(halved) = self.halved() {
            return Some(self.set_threshold(halved, "nothing is reported"));
        }
        let doubled = self.doubled()?;
        Some(self.set_epoch(doubled, "nothing is reported at the lowest threshold"))
    }

    /// The first settings below the usual ones that report something cut through what is hot: most of it barely reaches
    /// the threshold, so that others of its kind do not. Later, what is hot has been promoted, and what barely
    /// reaches the threshold is cold.
    fn barely_hot(&mut self) -> Option<Change> {
        let barely: u64 = self.windows.iter().map(|window| window.barely).sum();
        let units: u64 = self.windows.iter().map(|window| window.units).sum();
        if self.was_trusted || barely <= units / 2 {
            return None;
        }
        if let Some(halved) = self.halved() {
            let reason = "most of what is reported barely reaches the threshold";
            return Some(self.set_threshold(halved, reason));
        }
        let reason = "most of what is reported barely reaches the lowest threshold";
        let doubled = self.doubled()?;
        Some(self.set_epoch(doubled, reason))
    }

    fn wrong_scale(&mut self) -> Option<Change> {
        let pairs = self
            .windows
            .iter()
            .filter(|window| window.before >= UNITS_MIN);
        if pairs.clone().count() < PAIRS_MIN {
            return None;
        }
        let before: u64 = pairs.clone().map(|window| window.before).sum();
        let again: u64 = pairs.map(|window| window.again).sum();
        let again = (again * 100).checked_div(before)?;
        if self.fixed.epoch || self.is_low() || again >= AGAIN_MIN {
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
        // What was hot until now still is: nothing has to be found anew.
        self.usual = Settings {
            epoch_ns,
            ..self.settings
        };
        Some(self.set_epoch(
            epoch_ns,
            "what is reported is not hot any more in the next epoch",
        ))
    }

    fn narrow(&mut self) -> Option<Change> {
        if self.fixed.ranges || self.parts >= self.bounds.parts || self.bounds.ranges.is_empty() {
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

    fn watch_all(&mut self) -> Change {
        (self.part, self.parts, self.empty_parts) = (0, 1, 0);
        self.is_equal = false;
        self.watch("nothing is hot in any part")
    }

    fn watch(&self, reason: &'static str) -> Change {
        let ranges = parts::part_of(&self.bounds.ranges, self.part, self.parts);
        Change {
            wish: Tuning {
                threshold: (!self.fixed.threshold).then_some(self.settings.threshold),
                ranges: Some(ranges),
                ..Tuning::default()
            },
            reason,
        }
    }

    /// Other settings may report other things.
    fn begin_anew(&mut self) {
        self.is_trusted = false;
        self.raised_from = None;
        self.has_found &= !self.is_low();
    }

    fn set_threshold(&mut self, to: u64, reason: &'static str) -> Change {
        let has_risen = to > self.settings.threshold;
        self.settings.threshold = to;
        self.begin_anew();
        self.has_found &= !has_risen;
        Change {
            wish: Tuning {
                threshold: Some(to),
                ..Tuning::default()
            },
            reason,
        }
    }

    fn set_epoch(&mut self, to: u64, reason: &'static str) -> Change {
        self.settings.epoch_ns = to;
        self.begin_anew();
        Change {
            wish: Tuning {
                epoch_ns: Some(to),
                ..Tuning::default()
            },
            reason,
        }
    }
}

/// Accesses by the length of an epoch, so that products compare as rates do.
fn rate(accesses: u64, epoch_ns: u64) -> u128 {
    u128::from(accesses) * u128::from(epoch_ns)
}

/// A setting that did not change in the direction that was wished has its bound there.
fn bound((least, most): &mut (u64, u64), (before, wished, now): (u64, u64, u64)) {
    if wished > before && now <= before {
        *most = now;
    } else if wished < before && now >= before {
        *least = now;
    }
}
