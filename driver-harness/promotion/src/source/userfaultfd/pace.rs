// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How long windows are.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Decisions for which a length that was too long is not tried again, nor one at which windows ended late.
const BARRED: u64 = 8;

/// Lengths of windows: the shortest that serve. What cannot be known from windows, how much longer than that they
/// are, needs no guess when they are only lengthened where they tell nothing.
#[derive(Debug)]
pub(super) struct Pace {
    window_ns: u64,
    /// The shortest, with which it begins, and the longest, where nobody wishes others.
    bounds_ns: RangeInclusive<u64>,
    /// Somebody wished for this length.
    is_wished: bool,
    /// Too long, for so many decisions.
    ceiling: Option<(u64, u64)>,
    /// Any shorter ones end late, for so many decisions.
    floor: Option<(u64, u64)>,
}

impl Pace {
    pub(super) fn new(bounds: &RangeInclusive<Duration>) -> Pace {
        let bounds_ns = nanoseconds(*bounds.start())..=nanoseconds(*bounds.end());
        Pace {
            window_ns: *bounds_ns.start(),
            bounds_ns,
            is_wished: false,
            ceiling: None,
            floor: None,
        }
    }

    pub(super) fn window_ns(&self) -> u64 {
        self.window_ns
    }

    pub(super) fn is_wished(&self) -> bool {
        self.is_wished
    }

    pub(super) fn wish(&mut self, window_ns: u64) {
        self.window_ns = window_ns.max(*self.bounds_ns.start());
        self.is_wished = true;
    }

    /// Windows were judged.
    pub(super) fn note_decision(&mut self) {
        for bound in [&mut self.ceiling, &mut self.floor] {
            *bound = bound.and_then(|(length, left)| Some((length, left.checked_sub(1)?)));
        }
    }

    /// Windows are too short; whether they are longer now.
    pub(super) fn lengthen(&mut self) -> bool {
        let longer_ns = self.window_ns.saturating_mul(2);
        let is_barred = self
            .ceiling
            .is_some_and(|(too_long_ns, _)| longer_ns >= too_long_ns);
        !is_barred && self.set(longer_ns)
    }

    /// Windows are too long; whether they are shorter now.
    pub(super) fn shorten(&mut self) -> bool {
        let shorter_ns = self.window_ns / 2;
        let is_barred = self.floor.is_some_and(|(late_ns, _)| shorter_ns <= late_ns);
        let too_long_ns = self.window_ns;
        let shortens = !is_barred && self.set(shorter_ns);
        if shortens {
            self.ceiling = Some((too_long_ns, BARRED));
        }
        shortens
    }

    /// Windows of this length end too late; whether they are longer now.
    pub(super) fn flee(&mut self) -> bool {
        let late_ns = self.window_ns;
        let flees = self.set(late_ns.saturating_mul(2));
        if flees {
            self.floor = Some((late_ns, BARRED));
        }
        flees
    }

    fn set(&mut self, window_ns: u64) -> bool {
        let is_possible = !self.is_wished && self.bounds_ns.contains(&window_ns);
        if is_possible {
            self.window_ns = window_ns;
        }
        is_possible
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
