// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The machine around a device in this process.

use std::ops::Range;

use chmu_spec::access::Access;
use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::request::AccessKind;

/// The first window: device physical address 0.
const FIRST_WINDOW: u64 = super::WINDOW_BASE;
/// Memory of others at either end of the range that they share with the suite's.
const OTHERS_BYTES: u64 = 128 << 20;
/// The range that is the suite's alone ends here.
const OWN_END: u64 = 768 << 20;
/// Units of others lie apart, so that they are different ones up to this size.
const OTHERS_STEP: u64 = 0x7000;
/// Requests to each unit of others, each time.
const OTHERS_REQUESTS: usize = 6;

/// How time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Only when it is moved by hand: no epoch ends while a case works.
    ByHand,
    /// With every access as well, as on a real machine; the device's clock is slower by so many
    /// hundredths, so that its epochs are longer.
    Running {
        /// Hundredths.
        slower: u8,
    },
    /// As `Running`, and the device's clock is now slower and now faster than that of the machine,
    /// by so many hundredths.
    Drifting {
        /// Hundredths.
        by: u8,
    },
}

impl Clock {
    /// How long the device's clock takes for so many nanoseconds of the machine's, at `now_ns`.
    pub(super) fn device_ns(self, now_ns: u64, passed_ns: u64) -> u64 {
        let scaled = |hundredths: u64| passed_ns.saturating_mul(100) / hundredths;
        match self {
            Self::ByHand => passed_ns,
            Self::Running { slower } => scaled(100 + u64::from(slower)),
            Self::Drifting { by } => match now_ns / 300_000_000 % 2 {
                0 => scaled(100 + u64::from(by)),
                _ => scaled(100 - u64::from(by)),
            },
        }
    }
}

/// Other programs that use the device's memory, and a processor that reads more than it is asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Others {
    /// Units that others make hot all the time.
    pub hot_units: u32,
    /// Of the suite's requests, the processor repeats each so often on its own account.
    pub repeats: u8,
}

impl Others {
    /// Nobody else.
    pub const NONE: Self = Self {
        hot_units: 0,
        repeats: 0,
    };

    /// What others leave of the first of the device's ranges: one range of 256 MiB that is shared
    /// with them and two that are not.
    pub(super) fn leave(self, ranges: Vec<Range<Dpa>>) -> Vec<Range<Dpa>> {
        match self == Self::NONE {
            true => ranges,
            false => ranges
                .into_iter()
                .filter(|range| range.start.0 < OWN_END)
                .map(|range| {
                    let start = range.start.0.max(OTHERS_BYTES);
                    Dpa(start)..Dpa(range.end.0.min(OWN_END))
                })
                .collect(),
        }
    }

    /// Requests of others, in a window that is not interleaved.
    pub(super) fn accesses(self) -> Vec<Access<Hpa>> {
        let units = u64::from(self.hot_units);
        (0..units)
            .flat_map(|unit| {
                let at = unit * OTHERS_STEP;
                // Half of them in the range that the suite has a part of.
                let dpa = match unit % 2 {
                    0 => at % OTHERS_BYTES,
                    _ => OWN_END + at % OTHERS_BYTES,
                };
                let access = Access::new(Hpa(FIRST_WINDOW + dpa), AccessKind::Read, false);
                std::iter::repeat_n(access, OTHERS_REQUESTS)
            })
            .collect()
    }
}

/// What work takes on a machine whose clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// An access to a register, in nanoseconds.
    pub access_ns: u64,
    /// A request to the device's memory, in nanoseconds.
    pub request_ns: u64,
    /// What the machine does besides, now and then.
    pub stalls: Option<Stalls>,
}

impl Pace {
    /// A machine with nothing else to do.
    pub const QUICK: Self = Self {
        access_ns: 500,
        request_ns: 20,
        stalls: None,
    };
}

/// The machine gives its processor to others, at moments that nobody foresees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalls {
    /// For so long, in nanoseconds.
    pub stall_ns: u64,
    /// At one in so many register accesses, pauses and groups of requests.
    pub one_in: u64,
    /// Other moments with each number.
    pub seed: u64,
}

impl Stalls {
    /// What is lost at the next moment, in nanoseconds.
    pub(super) fn lost_ns(self, random: &mut fastrand::Rng) -> u64 {
        match random.u64(..self.one_in) {
            0 => self.stall_ns,
            _ => 0,
        }
    }
}

/// What the machine around a device is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// How time passes.
    pub clock: Clock,
    /// What work takes of it.
    pub pace: Pace,
    /// Who else uses the memory.
    pub others: Others,
    /// The function can be reset.
    pub resets: bool,
}

impl Default for Surroundings {
    /// A clock that is moved by hand, and nobody else.
    fn default() -> Self {
        Self {
            clock: Clock::ByHand,
            pace: Pace::QUICK,
            others: Others::NONE,
            resets: true,
        }
    }
}
