// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What time it is for the device.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use crate::config::quantity::Nanoseconds;

/// Where the device's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockSource {
    /// Time passes as on the host's monotonic clock.
    Host,
    /// The accesses: each one takes that many nanoseconds, and between them time stands still.
    Accesses(Nanoseconds),
    /// Whoever is connected to the clock socket.
    Manual,
}

/// A text that names no clock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no clock; write host, manual, or accesses:NS with the nanoseconds of an access"
)]
pub struct ClockError(String);

impl FromStr for ClockSource {
    type Err = ClockError;

    fn from_str(text: &str) -> Result<Self, ClockError> {
        let per_access = |text: &str| text.parse().ok().filter(|nanoseconds| *nanoseconds > 0);
        match text.split_once(':') {
            None if text == "host" => Some(Self::Host),
            None if text == "manual" => Some(Self::Manual),
            Some(("accesses", per)) => per_access(per).map(|per| Self::Accesses(Nanoseconds(per))),
            _ => None,
        }
        .ok_or_else(|| ClockError(text.to_owned()))
    }
}

/// In the spelling that is read as well.
impl fmt::Display for ClockSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Accesses(Nanoseconds(per_access)) => write!(f, "accesses:{per_access}"),
            Self::Manual => f.write_str("manual"),
        }
    }
}

/// The device's clock. It starts at 0 and never goes back.
#[derive(Debug, Clone)]
pub struct Clock(State);

#[derive(Debug, Clone)]
enum State {
    Host {
        start: Instant,
    },
    Accesses {
        start: Instant,
        now_ns: u64,
        per_access_ns: u64,
    },
    Manual {
        now_ns: u64,
    },
}

impl Clock {
    /// A clock that starts now.
    pub fn new(source: ClockSource) -> Self {
        Self(match source {
            ClockSource::Host => State::Host {
                start: Instant::now(),
            },
            ClockSource::Accesses(Nanoseconds(per_access_ns)) => State::Accesses {
                start: Instant::now(),
                now_ns: 0,
                per_access_ns,
            },
            ClockSource::Manual => State::Manual { now_ns: 0 },
        })
    }

    /// Nanoseconds of the device's time since the start of the process.
    pub fn now_ns(&self) -> u64 {
        match &self.0 {
            State::Host { start } => since_ns(*start),
            State::Accesses { now_ns, .. } | State::Manual { now_ns } => *now_ns,
        }
    }

    /// Nanoseconds since the start for whoever waits for another process. Accesses do not come
    /// while it is waited for, so their clock does not do.
    pub fn waiting_ns(&self) -> u64 {
        match &self.0 {
            State::Host { start } | State::Accesses { start, .. } => since_ns(*start),
            State::Manual { now_ns } => *now_ns,
        }
    }

    /// Whether time goes on by itself.
    pub fn runs(&self) -> bool {
        matches!(self.0, State::Host { .. })
    }

    /// Whether accesses make the time pass, as [`Clock::count_access`] tells of them.
    pub fn counts_accesses(&self) -> bool {
        matches!(self.0, State::Accesses { .. })
    }

    /// Lets time pass on a manual clock. Other clocks stay as they are.
    pub fn advance(&mut self, nanoseconds: u64) {
        if let State::Manual { now_ns } = &mut self.0 {
            *now_ns = now_ns.saturating_add(nanoseconds);
        }
    }

    /// Lets the time of one access pass; returns the time after it.
    pub fn count_access(&mut self) -> u64 {
        if let State::Accesses {
            now_ns,
            per_access_ns,
            ..
        } = &mut self.0
        {
            *now_ns = now_ns.saturating_add(*per_access_ns);
        }
        self.now_ns()
    }
}

fn since_ns(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_have_names() {
        assert_eq!("host".parse(), Ok(ClockSource::Host));
        assert_eq!("manual".parse(), Ok(ClockSource::Manual));
        assert_eq!(
            "accesses:100".parse(),
            Ok(ClockSource::Accesses(Nanoseconds(100)))
        );
        for text in [
            "",
            "hosts",
            "accesses",
            "accesses:0",
            "accesses:x",
            "host:1",
        ] {
            let error = text.parse::<ClockSource>().unwrap_err();
            assert!(error.to_string().contains("accesses:NS"), "{error}");
        }
    }

    #[test]
    fn an_access_clock_moves_with_accesses_only() {
        let mut clock = Clock::new(ClockSource::Accesses(Nanoseconds(250)));
        assert!(!clock.runs());
        assert_eq!(clock.now_ns(), 0);
        assert_eq!((clock.count_access(), clock.count_access()), (250, 500));
        assert_eq!(clock.now_ns(), 500);
    }

    #[test]
    fn a_manual_clock_moves_by_hand_only() {
        let mut clock = Clock::new(ClockSource::Manual);
        assert!(!clock.runs() && !clock.counts_accesses());
        assert_eq!(clock.count_access(), 0);
        clock.advance(7);
        assert_eq!(clock.now_ns(), 7);
        clock.advance(u64::MAX);
        assert_eq!(clock.now_ns(), u64::MAX);
    }

    #[test]
    fn the_host_clock_never_goes_back() {
        let mut clock = Clock::new(ClockSource::Host);
        assert!(clock.runs());
        let first = clock.now_ns();
        assert!(clock.count_access() >= first);
        clock.advance(u64::MAX);
        assert!(clock.now_ns() < u64::MAX);
    }
}
