// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What no real device can tell: how often each page of the host was accessed in this device's
//! memory since a mark, without the monitors' filters, sampling, ranges and losses.
//!
//! It counts what the producer reports, so it sees what a device sees: what a cache in front of it
//! answers never comes here. What is missing from that is counted too, so that an answer says when
//! it is not exact.

mod page_counts;
mod protocol;

pub(crate) use page_counts::PAGE_BYTES;
pub(crate) use protocol::answer;

use chmu_spec::access::Access;
use chmu_spec::address::{Hpa, HpaRange};
use serde::Serialize;

use crate::feed::FeedStatistics;
use page_counts::PageCounts;

/// Exact counts since a mark, while there is one.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Marks so far; the number of a mark is never given twice.
    marks: u64,
    observation: Option<Observation>,
}

/// What was counted since a mark.
#[derive(Debug)]
struct Observation {
    mark: u64,
    counts: PageCounts,
    /// What the feed had lost and found damaged before the mark.
    lost_before: u64,
    damaged_before: u64,
    /// All accesses are reported now.
    reporting: bool,
    gaps: u64,
    windows: Vec<HpaRange>,
}

/// How exact the counts are, and of what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct OracleState {
    /// The device's time, in nanoseconds since its start.
    pub(crate) time_ns: u64,
    /// What is counted since; none while nothing is.
    pub(crate) mark: Option<u64>,
    /// A producer is attached and reports all accesses. Before it first does, accesses that were
    /// made after the mark are missing.
    pub(crate) reporting: bool,
    /// How often that ended since the mark.
    pub(crate) gaps: u64,
    /// Accesses counted since the mark: the sum over all pages.
    pub(crate) accesses: u64,
    /// Accesses since the mark that the producer dropped, of any page.
    pub(crate) accesses_lost: u64,
    /// Signs of a broken producer since the mark.
    pub(crate) records_damaged: u64,
    /// Accesses since the mark to more pages than there are counters for.
    pub(crate) accesses_without_counter: u64,
    /// First frame, and the frame after the last, of each window that a decoder decoded at the mark.
    pub(crate) windows: Vec<(u64, u64)>,
}

impl Oracle {
    /// Whether accesses matter to it.
    pub(crate) fn is_counting(&self) -> bool {
        self.observation.is_some()
    }

    /// Forgets everything and counts from here on.
    pub(crate) fn mark(&mut self, windows: Vec<HpaRange>, feed: FeedStatistics) {
        self.marks = self.marks.saturating_add(1);
        self.observation = Some(Observation {
            mark: self.marks,
            counts: PageCounts::default(),
            lost_before: feed.lost,
            damaged_before: feed.corrupt,
            reporting: false,
            gaps: 0,
            windows,
        });
    }

    /// Counts no more, and gives the counters' memory back.
    pub(crate) fn stop(&mut self) {
        self.observation = None;
    }

    /// Counts accesses to this device's memory, which `decodes` tells from that of others.
    pub(crate) fn count(&mut self, accesses: &[Access<Hpa>], decodes: impl Fn(Hpa) -> bool) {
        let Some(observation) = &mut self.observation else {
            return;
        };
        for access in accesses {
            if decodes(access.address()) {
                observation.counts.add(access.address().0 / PAGE_BYTES);
            }
        }
    }

    /// Takes note of whether all accesses are reported.
    pub(crate) fn note_reporting(&mut self, reporting: bool) {
        let Some(observation) = &mut self.observation else {
            return;
        };
        if observation.reporting && !reporting {
            observation.gaps = observation.gaps.saturating_add(1);
        }
        observation.reporting = reporting;
    }

    /// How exact the counts are.
    pub(crate) fn state(&self, time_ns: u64, feed: FeedStatistics) -> OracleState {
        let Some(observation) = &self.observation else {
            return OracleState {
                time_ns,
                ..OracleState::default()
            };
        };
        let frames = |window: &HpaRange| {
            let end = window.start.0.saturating_add(window.bytes);
            (window.start.0 / PAGE_BYTES, end.div_ceil(PAGE_BYTES))
        };
        OracleState {
            time_ns,
            mark: Some(observation.mark),
            reporting: observation.reporting,
            gaps: observation.gaps,
            accesses: observation.counts.accesses(),
            accesses_lost: feed.lost.saturating_sub(observation.lost_before),
            records_damaged: feed.corrupt.saturating_sub(observation.damaged_before),
            accesses_without_counter: observation.counts.uncounted(),
            windows: observation.windows.iter().map(frames).collect(),
        }
    }

    /// The counts of what a mark began; none when that is over.
    pub(crate) fn counts(&self, mark: u64) -> Option<&PageCounts> {
        let observation = self.observation.as_ref();
        let counts = observation.filter(|observation| observation.mark == mark);
        counts.map(|observation| &observation.counts)
    }

    /// What is counted now.
    pub(crate) fn current_mark(&self) -> Option<u64> {
        self.observation
            .as_ref()
            .map(|observation| observation.mark)
    }
}

#[cfg(test)]
mod tests;
