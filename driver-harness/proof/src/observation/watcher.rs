// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From looks at a process's page map and readings of the counts to pages with what belongs to them.

use std::collections::BTreeMap;
use std::ops::Range;

use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use super::page::{FOREIGN_ACCESSES, Left, ObservedPage};

/// More pages than this are not watched.
pub(super) const PAGES_MAX: usize = 1 << 20;

/// What is counted for the busiest second is counted in intervals of at least this.
const INTERVAL_NS: u64 = 1_000_000_000;

/// One look: the page map, the counts, and the page map again.
#[derive(Debug, Default)]
pub struct Look {
    /// When the counts were read, on `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The frame of each present page, by address, before the counts were read.
    pub before: BTreeMap<u64, Pfn>,
    /// Accesses to each frame since the mark; a frame that is missing has none.
    pub counts: BTreeMap<u64, u64>,
    /// The page map afterwards.
    pub after: BTreeMap<u64, Pfn>,
}

/// Possible accesses to a page in the interval of now, and in the one before.
#[derive(Debug, Default, Clone, Copy)]
struct Pace {
    before: u64,
    now: u64,
}

/// Watches the pages of one process.
#[derive(Debug, Default)]
pub struct Watcher {
    /// Frames whose accesses are counted.
    windows: Vec<Range<u64>>,
    pages: Vec<ObservedPage>,
    /// How fast each of them is accessed, in their order.
    paces: Vec<Pace>,
    /// When the interval of now began.
    interval_ns: u64,
    /// The last page at each address, as a place in `pages`.
    last: BTreeMap<u64, usize>,
    counts: BTreeMap<u64, u64>,
    last_ns: u64,
    left_out: u64,
}

impl Watcher {
    /// Nothing is watched yet; accesses are counted in `windows`, ranges of frames.
    pub fn new(windows: Vec<Range<u64>>) -> Watcher {
        Watcher {
            windows,
            ..Watcher::default()
        }
    }

    /// Takes a look in; `node_of` tells the node of a frame. Returns the frames of pages that were seen
    /// for the first time.
    pub fn look(&mut self, look: &Look, node_of: impl Fn(Pfn) -> Option<NodeId>) -> Vec<Pfn> {
        let counted = |frame| look.counts.get(&frame).copied().unwrap_or(0);
        let pages = self.pages.iter_mut().zip(&mut self.paces);
        for (page, pace) in pages.filter(|(page, _)| page.left.is_none()) {
            let before = self.counts.get(&page.frame).copied().unwrap_or(0);
            let accesses = counted(page.frame).saturating_sub(before);
            page.possible = page.possible.saturating_add(accesses);
            let frame = Some(&Pfn(page.frame));
            let is_there = |map: &BTreeMap<u64, Pfn>| map.get(&page.address) == frame;
            let own = match is_there(&look.before) && is_there(&look.after) {
                true => {
                    page.sure = page.sure.saturating_add(accesses);
                    accesses
                }
                false => {
                    page.left = Some(Left {
                        after_ns: self.last_ns,
                        by_ns: look.time_ns,
                    });
                    accesses.saturating_sub(FOREIGN_ACCESSES)
                }
            };
            pace.now = pace.now.saturating_add(own);
            let within = pace.before.saturating_add(pace.now);
            page.most_in_a_second = page.most_in_a_second.max(within);
        }
        let mut new = Vec::new();
        for (&address, &frame) in &look.before {
            if look.after.get(&address) == Some(&frame) && self.is_new(address, frame) {
                let Some(node) = node_of(frame) else { continue };
                if self.pages.len() >= PAGES_MAX {
                    self.left_out = self.left_out.saturating_add(1);
                    continue;
                }
                self.watch(address, frame, node, look.time_ns);
                new.push(frame);
            }
        }
        self.counts.clone_from(&look.counts);
        self.last_ns = look.time_ns;
        self.end_interval(look.time_ns);
        new
    }

    /// Begins another interval when the one of now has been long enough.
    fn end_interval(&mut self, time_ns: u64) {
        if time_ns.saturating_sub(self.interval_ns) < INTERVAL_NS {
            return;
        }
        self.interval_ns = time_ns;
        for pace in &mut self.paces {
            *pace = Pace {
                before: pace.now,
                now: 0,
            };
        }
    }

    /// Whether a page lies in memory whose accesses are counted, and is not watched there already.
    fn is_new(&self, address: u64, frame: Pfn) -> bool {
        let mut windows = self.windows.iter();
        let last = self.last.get(&address).map(|place| &self.pages[*place]);
        windows.any(|window| window.contains(&frame.0))
            && last.is_none_or(|page| page.left.is_some())
    }

    fn watch(&mut self, address: u64, frame: Pfn, node: NodeId, seen_ns: u64) {
        if let Some(place) = self.last.insert(address, self.pages.len()) {
            self.pages[place].is_last = false;
        }
        self.pages.push(ObservedPage {
            address,
            frame: frame.0,
            node,
            seen_ns,
            left: None,
            is_last: true,
            sure: 0,
            possible: 0,
            most_in_a_second: 0,
        });
        self.paces.push(Pace::default());
    }

    /// All pages that were seen in counted memory.
    pub fn pages(&self) -> &[ObservedPage] {
        &self.pages
    }

    /// How often a page was not watched as there were too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The lowest frame that is watched, and the one after the highest: what has to be asked for.
    pub fn frames(&self, look: &BTreeMap<u64, Pfn>) -> Range<u64> {
        let is_counted = |frame: &u64| self.windows.iter().any(|window| window.contains(frame));
        let watched = self.pages.iter().filter(|page| page.left.is_none());
        let frames = watched.map(|page| page.frame);
        let frames = frames.chain(look.values().map(|frame| frame.0));
        let range = frames.filter(is_counted).fold(None, |range, frame| {
            let (first, last) = range.unwrap_or((frame, frame));
            Some((first.min(frame), last.max(frame)))
        });
        range.map_or(0..0, |(first, last)| first..last.saturating_add(1))
    }
}
