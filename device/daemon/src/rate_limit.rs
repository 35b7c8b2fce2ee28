// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Keeps what a guest, client or producer can cause at will from flooding the log.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::Saturating;
use std::time::{Duration, Instant};

/// Lines that pass within one [`PERIOD`].
const LINES_PER_PERIOD: u32 = 5;
/// How long a limit holds before it starts anew.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets a few lines pass in each period and counts the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateLimit {
    period_start: Option<Instant>,
    passed: u32,
    suppressed: Saturating<u64>,
}

/// How many lines were held back before this one; prints as nothing when there were none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suppressed(u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more such lines were held back)"),
        }
    }
}

impl RateLimit {
    /// Whether a line may be written now; what it returns belongs at the end of that line.
    pub(crate) fn permit(&mut self) -> Option<Suppressed> {
        self.permit_at(Instant::now())
    }

    fn permit_at(&mut self, now: Instant) -> Option<Suppressed> {
        let in_period = self
            .period_start
            .is_some_and(|start| now.saturating_duration_since(start) < PERIOD);
        if !in_period {
            self.period_start = Some(now);
            self.passed = 0;
        }
        if self.passed == LINES_PER_PERIOD {
            self.suppressed += 1;
            return None;
        }
        self.passed = self.passed.saturating_add(1);
        Some(Suppressed(std::mem::take(&mut self.suppressed).0))
    }
}

/// A limit for each kind of line, so that one kind does not hide another.
#[derive(Debug, Clone)]
pub(crate) struct RateLimits<K> {
    by_kind: HashMap<K, RateLimit>,
}

impl<K> Default for RateLimits<K> {
    fn default() -> Self {
        let by_kind = HashMap::new();
        Self { by_kind }
    }
}

impl<K: Eq + Hash> RateLimits<K> {
    /// Whether a line of a kind may be written now. There must not be more kinds than memory can
    /// bear.
    pub(crate) fn permit(&mut self, kind: K) -> Option<Suppressed> {
        self.by_kind.entry(kind).or_default().permit()
    }

    /// Whether a line of a level is written at all, without a limit.
    pub(crate) fn unlimited(&self, level: log::Level) -> Option<Suppressed> {
        log::log_enabled!(level).then_some(Suppressed(0))
    }

    /// Whether a line of a kind about the life of something may be written now: all of them may
    /// where the log is for debugging, none where it has warnings only.
    pub(crate) fn permit_life_cycle(&mut self, kind: K) -> Option<Suppressed> {
        if log::log_enabled!(log::Level::Debug) {
            Some(Suppressed(0))
        } else if log::log_enabled!(log::Level::Info) {
            self.permit(kind)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let mut limit = RateLimit::default();
        let start = Instant::now();
        let passed = (0..100)
            .filter_map(|_| limit.permit_at(start))
            .collect::<Vec<_>>();
        assert_eq!(passed, [Suppressed(0); LINES_PER_PERIOD as usize]);

        let later = limit.permit_at(start + PERIOD).unwrap();
        assert_eq!(later.to_string(), " (95 more such lines were held back)");
        assert_eq!(
            limit.permit_at(start + PERIOD).unwrap().to_string(),
            "",
            "they are reported once"
        );
    }

    #[test]
    fn a_flood_of_one_kind_does_not_hide_another() {
        let mut limits = RateLimits::default();
        while limits.permit("flood").is_some() {}
        assert_eq!(limits.permit("drop"), Some(Suppressed(0)));
    }
}
