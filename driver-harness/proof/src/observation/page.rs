// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A page that was watched, and whether it was hot.

use chmu_machine::node::NodeId;
use serde::{Deserialize, Serialize};

const SECOND_NS: u128 = 1_000_000_000;
/// Accesses that a move makes by itself, or that come of an earlier page of the same frame: the copy
/// reads each of a page's 64 lines, zeroing it fills each, and each may be written back later.
pub const FOREIGN_ACCESSES: u64 = 3 * 64;

/// A page, from when it was first seen in a frame of the device's memory until it left that frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedPage {
    /// Its address in the process.
    pub address: u64,
    /// The frame that it was seen in first.
    pub frame: u64,
    /// The node of that frame.
    pub node: NodeId,
    /// Since when it was watched, on `CLOCK_MONOTONIC`.
    pub seen_ns: u64,
    /// When it left that frame; none while it is there.
    #[serde(deserialize_with = "Option::deserialize")]
    pub left: Option<Left>,
    /// The page that was at this address last, of several in the course of time.
    pub is_last: bool,
    /// Accesses to the frame while the page was in it for sure.
    pub sure: u64,
    /// These, and the accesses to the frame between the last look that found the page there and the
    /// first that did not.
    pub possible: u64,
    /// At most so many of the possible ones fell into any one second. An upper bound: those of two
    /// neighbouring intervals of at least a second each. What a move may have made by itself is not among
    /// those of the look that found the page gone.
    pub most_in_a_second: u64,
}

/// When a page left its frame, on `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The last look that found it there.
    pub after_ns: u64,
    /// The first look that did not.
    pub by_ns: u64,
}

/// What makes a page hot or cold: accesses a second while it was watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Hot from here on.
    pub hot_from: u64,
    /// Cold below. What lies between is neither.
    pub cold_below: u64,
}

/// What the counts say of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Hot, whatever is not known.
    Hot,
    /// Cold, whatever is not known.
    Cold,
    /// Neither: near the threshold, hot for a second only, watched for too short a time, or not counted exactly enough.
    Unclear,
}

impl ObservedPage {
    /// What the counts say when accesses of any page may be missing: so many, or nobody knows how
    /// many.
    ///
    /// Cold takes the least that a page may have been watched for and the most that may have been its
    /// accesses, with those of a move among them: so a page that left soon is not cold but unclear.
    /// Neither is one that is seldom accessed over its life, but was hot for a second: whoever looks at
    /// a second must call it hot.
    pub fn seen(&self, rates: Rates, end_ns: u64, missing: Option<u64>) -> Seen {
        let last_ns = self.left.map_or(end_ns, |left| left.after_ns);
        let time_ns = last_ns.saturating_sub(self.seen_ns);
        if time_ns > 0
            && reaches(self.sure, rates.hot_from, time_ns)
            && self.sure > FOREIGN_ACCESSES
        {
            return Seen::Hot;
        }
        let most = missing.map(|missing| self.possible.saturating_add(missing));
        match most {
            Some(most)
                if !reaches(most.max(FOREIGN_ACCESSES), rates.cold_below, time_ns)
                    && !self.was_hot_for_a_second(rates) =>
            {
                Seen::Cold
            }
            _ => Seen::Unclear,
        }
    }

    /// What is missing does not count: a device that lost accesses reports no page for them.
    fn was_hot_for_a_second(&self, rates: Rates) -> bool {
        self.most_in_a_second >= rates.hot_from
    }
}

/// Whether a count is at least that of a rate, in accesses a second, over a time.
fn reaches(count: u64, rate: u64, time_ns: u64) -> bool {
    u128::from(count) * SECOND_NS >= u128::from(rate) * u128::from(time_ns)
}
