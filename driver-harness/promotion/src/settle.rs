// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames that a page left: until when reports about them may be about that page.
//!
//! A report counts accesses from its earliest on. When a page left its frame after that, the report may
//! name the frame for what that page did, although another page is there by now. So a report is void
//! for a frame unless all that it counts happened after the end of the frame's last move; while a move
//! goes on, its end is not known, and every report is void for its frames. No margin of time has to be
//! right for that, only the source's word for its earliest access.
//!
//! What is kept is bounded twice. A move that ended before the earliest access of every source's last
//! report is of no use any more, as these never go back, and is forgotten. When there are too many, the
//! oldest are forgotten as well; a report from before the end of any forgotten move is then void as a
//! whole, so that forgetting never lets a wrong report through.

use std::collections::BTreeMap;

use chmu_spec::address::Pfn;

use crate::aggregate::SourceId;
use crate::batch::Folio;

#[cfg(test)]
mod tests;

/// Runs of frames that are remembered.
const RUNS_MAX: usize = 1 << 18;

/// Neighbouring frames with a common end of their last move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    end: u64,
    /// Moves that go on.
    moving: u32,
    /// The latest end of those that are over.
    ended_ns: u64,
}

/// The frames that pages left.
#[derive(Debug, Clone)]
pub(crate) struct Settling {
    /// By first frame; runs do not overlap.
    runs: BTreeMap<u64, Run>,
    runs_max: usize,
    /// The latest end of a move that was forgotten.
    forgotten_ns: u64,
    /// The earliest access of each source's last report.
    horizons: BTreeMap<SourceId, u64>,
}

impl Default for Settling {
    fn default() -> Settling {
        Settling {
            runs: BTreeMap::new(),
            runs_max: RUNS_MAX,
            forgotten_ns: 0,
            horizons: BTreeMap::new(),
        }
    }
}

impl Settling {
    /// A source exists from now on: it may report what is older than any report.
    pub(crate) fn expect(&mut self, source: SourceId) {
        self.horizons.entry(source).or_insert(0);
    }

    /// A source reports nothing any more.
    pub(crate) fn dismiss(&mut self, source: SourceId) {
        self.horizons.remove(&source);
        self.forget();
    }

    /// A source's report counts no access before this time.
    pub(crate) fn reported(&mut self, source: SourceId, earliest_access_ns: u64) {
        let horizon = self.horizons.entry(source).or_insert(0);
        *horizon = earliest_access_ns.max(*horizon);
        self.forget();
    }

    /// A folio is on its way out of its frames, or may be.
    pub(crate) fn begin(&mut self, folio: Folio) {
        self.change(folio, |run| run.moving += 1);
    }

    /// It is over with a folio: it left its frames before this time, or is still there.
    pub(crate) fn end(&mut self, folio: Folio, ended_ns: u64) {
        self.change(folio, |run| {
            run.moving = run.moving.saturating_sub(1);
            run.ended_ns = run.ended_ns.max(ended_ns);
        });
        self.bound();
    }

    /// Whether a report that counts nothing before `earliest_access_ns` may be about a page that has
    /// left the frame.
    pub(crate) fn is_void(&self, frame: Pfn, earliest_access_ns: u64) -> bool {
        if earliest_access_ns < self.forgotten_ns {
            return true;
        }
        let before = self.runs.range(..=frame.0).next_back();
        before.is_some_and(|(_, run)| {
            frame.0 < run.end && (run.moving > 0 || earliest_access_ns < run.ended_ns)
        })
    }

    /// Runs of frames that are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Applies a change to every frame of a folio.
    fn change(&mut self, folio: Folio, change: impl Fn(&mut Run)) {
        let (start, end) = (folio.head.0, folio.end().0);
        self.split_at(start);
        self.split_at(end);
        let mut next = start;
        let mut gaps = Vec::new();
        for (&first, run) in self.runs.range_mut(start..end) {
            if next < first {
                gaps.push((next, first));
            }
            next = run.end;
            change(run);
        }
        if next < end {
            gaps.push((next, end));
        }
        for (first, end) in gaps {
            let mut run = Run {
                end,
                moving: 0,
                ended_ns: 0,
            };
            change(&mut run);
            self.runs.insert(first, run);
        }
    }

    /// Makes a run that holds a frame and its predecessor two.
    fn split_at(&mut self, frame: u64) {
        let Some((_, run)) = self.runs.range_mut(..frame).next_back() else {
            return;
        };
        if frame < run.end {
            let rest = *run;
            run.end = frame;
            self.runs.insert(frame, rest);
        }
    }

    /// Forgets moves that no later report can reach back to.
    fn forget(&mut self) {
        let horizon = self.horizons.values().min().copied().unwrap_or(u64::MAX);
        let mut forgotten_ns = self.forgotten_ns;
        self.runs.retain(|_, run| {
            let keep = run.moving > 0 || run.ended_ns > horizon;
            if !keep {
                forgotten_ns = forgotten_ns.max(run.ended_ns);
            }
            keep
        });
        self.forgotten_ns = forgotten_ns;
    }

    /// Forgets the older half of the moves when there are too many.
    fn bound(&mut self) {
        if self.runs.len() <= self.runs_max {
            return;
        }
        let over = self.runs.values().filter(|run| run.moving == 0);
        let mut ends: Vec<_> = over.map(|run| run.ended_ns).collect();
        ends.sort_unstable();
        let Some(&middle) = ends.get(ends.len() / 2) else {
            return;
        };
        self.runs
            .retain(|_, run| run.moving > 0 || run.ended_ns > middle);
        self.forgotten_ns = self.forgotten_ns.max(middle);
    }
}
