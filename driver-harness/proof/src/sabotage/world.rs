// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine that exists only as data: frames, pages with content, processes, and what they do.
//!
//! A page that leaves a frame frees it, and the next page that is needed gets the frame that was freed
//! last, as a kernel does it. Everything is repeatable.

use std::collections::BTreeMap;

use chmu_machine::memory::owners::Owner;
use chmu_machine::memory::{LINE_WORDS, PAGE_BYTES, PAGE_LINES, PAGE_WORDS};
use chmu_machine::node::NodeId;
use chmu_promotion::Folio;
use chmu_spec::address::Pfn;

use crate::evidence::Whereabouts;
use crate::workload::expectation::Expectation;
use crate::workload::pattern::Pattern;
use crate::workload::state::{Phase, State, Verified};
use crate::workload::traffic::{Direction, Touch};

/// The node with processors that pages are promoted to.
pub(super) const FAST: NodeId = NodeId(0);
/// The node that pages start on.
pub(super) const SLOW: NodeId = NodeId(1);
/// A node with processors that is farther away than [`FAST`].
pub(super) const FAR: NodeId = NodeId(2);
/// Frames of each node; a node's first is its number times this.
pub(super) const NODE_FRAMES: u64 = 1 << 20;

/// A page: its place in [`World::pages`].
pub(super) type PageNumber = usize;

/// A page of a process.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// Its first frame; none when its owner gave it back.
    pub(super) frame: Option<Pfn>,
    /// What the frame holds.
    pub(super) words: Vec<u64>,
    /// What its file holds: what a page cache page comes back with when it is dropped.
    pub(super) stored: Vec<u64>,
    /// What accesses find instead of the words: an old copy.
    pub(super) old_copy: Option<Vec<u64>>,
    /// Pages that move together with it, itself included, in the order of their frames.
    pub(super) folio: Vec<PageNumber>,
    /// Somebody holds it in its place.
    pub(super) pinned: bool,
    /// When it was accessed last.
    pub(super) accessed_ns: u64,
}

/// A process with a truth of its own.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) state: State,
    pub(super) expectation: Expectation,
    pub(super) pages: Vec<PageNumber>,
}

/// The whole machine.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) now_ns: u64,
    pub(super) pages: Vec<Page>,
    pub(super) processes: Vec<Process>,
    /// The page in each frame that is used.
    pub(super) frames: BTreeMap<Pfn, PageNumber>,
    /// Frames that pages left, by node; the last is used first.
    freed: BTreeMap<NodeId, Vec<Pfn>>,
    /// Frames never used until now, by node.
    fresh: BTreeMap<NodeId, u64>,
    /// Accesses by frame since the device was read.
    pub(super) counts: BTreeMap<Pfn, u64>,
    /// Processes whose pages another one maps, and since when.
    sharing: Vec<(usize, u64)>,
    /// Pages demoted until now.
    pub(super) demoted: u64,
    /// Pages that have room on the fast node; none for any number.
    pub(super) fast_pages: Option<u64>,
}

/// The node of a frame.
pub(super) fn node_of(frame: Pfn) -> NodeId {
    NodeId(u32::try_from(frame.0 / NODE_FRAMES).unwrap_or(u32::MAX))
}

impl World {
    /// A frame for a page; those of a folio follow one another and are aligned.
    fn allocate(&mut self, node: NodeId, pages: u64) -> Pfn {
        if pages == 1
            && let Some(frame) = self.freed.get_mut(&node).and_then(Vec::pop)
        {
            return frame;
        }
        let next = self.fresh.entry(node).or_default();
        *next = next.next_multiple_of(pages);
        let frame = Pfn(u64::from(node.0) * NODE_FRAMES + 4096 + *next);
        *next += pages;
        frame
    }

    /// A process whose pages lie on the slow node. The first `large` folios of so many pages each come
    /// first, then base pages. Whatever is hot is said later.
    pub(super) fn spawn(&mut self, pages: u64, large: (u64, u64)) -> usize {
        self.spawn_on(SLOW, pages, large)
    }

    /// The same on another node.
    pub(super) fn spawn_on(
        &mut self,
        node: NodeId,
        pages: u64,
        (large, folio_pages): (u64, u64),
    ) -> usize {
        // Whatever was there before was there earlier.
        self.now_ns += 1;
        let number = self.processes.len();
        let seed = number as u64 + 1;
        let pattern = Pattern { seed };
        let mut numbers = Vec::new();
        let mut folios = Vec::new();
        let mut page = 0;
        while page < pages {
            let size = if page < large * folio_pages {
                folio_pages
            } else {
                1
            };
            let head = self.allocate(node, size);
            let first = self.pages.len();
            let folio: Vec<_> = (first..).take(usize::try_from(size).unwrap_or(1)).collect();
            if size > 1 {
                folios.push(Folio { head, pages: size });
            }
            for part in 0..size {
                let words: Vec<_> = (0..PAGE_WORDS)
                    .map(|place| pattern.word(page + part, place, 0))
                    .collect();
                let frame = Pfn(head.0 + part);
                self.frames.insert(frame, self.pages.len());
                numbers.push(self.pages.len());
                self.pages.push(Page {
                    frame: Some(frame),
                    stored: words.clone(),
                    words,
                    old_copy: None,
                    folio: folio.clone(),
                    pinned: false,
                    accessed_ns: 0,
                });
            }
            page += size;
        }
        let frames = numbers
            .iter()
            .filter_map(|number| self.pages[*number].frame);
        let state = State {
            phase: Phase::Ready,
            process_id: 100 + u32::try_from(number).unwrap_or(0),
            file: None,
            address: 0x7000_0000_0000,
            page_bytes: PAGE_BYTES,
            pages,
            node,
            seed,
            hot_pages: Vec::new(),
            hot_since_ns: None,
            earlier_hot_sets: Vec::new(),
            start_frames: Some(frames.map(|frame| frame.0).collect()),
            large_folios: Some(folios),
            ready_monotonic_ns: self.now_ns,
            first_touch_monotonic_ns: None,
            first_touch_boottime_ns: None,
            checks: Default::default(),
            verified: None,
        };
        if let Some(expectation) = Expectation::of(pattern, pages) {
            self.processes.push(Process {
                state,
                expectation,
                pages: numbers,
            });
        }
        number
    }

    /// A second process maps the pages of one from now on: its truth will be the same.
    pub(super) fn share(&mut self, process: usize) {
        self.sharing.push((process, self.now_ns));
    }

    /// These pages of a process are hot from now on, and no others.
    pub(super) fn heat(&mut self, process: usize, hot: &[u64]) {
        let (state, now_ns) = (&mut self.processes[process].state, self.now_ns);
        match state.hot_since_ns {
            Some(_) => state.move_hot_set(hot, now_ns),
            None => {
                state.hot_pages = hot.to_vec();
                state.hot_since_ns = Some(now_ns);
                state.first_touch_monotonic_ns = Some(now_ns);
                state.phase = Phase::Running;
            }
        }
    }

    /// One access of a process: it reads, checks, and perhaps writes.
    pub(super) fn touch(&mut self, process: usize, touch: Touch) {
        let now_ns = self.now_ns;
        let owner = &mut self.processes[process];
        let Some(&number) = usize::try_from(touch.page)
            .ok()
            .and_then(|page| owner.pages.get(page))
        else {
            return;
        };
        let page = &mut self.pages[number];
        let Some(frame) = page.frame else {
            return;
        };
        page.accessed_ns = now_ns;
        let place = usize::try_from(touch.place()).unwrap_or(0);
        let found = page.old_copy.as_ref().unwrap_or(&page.words)[place];
        owner.expectation.check(touch, found, || now_ns);
        if touch.direction == Direction::Write {
            page.words[place] = owner.expectation.write(touch);
        }
        *self.counts.entry(frame).or_default() += 1;
    }

    /// One access to each line of a page, every fourth a write.
    pub(super) fn visit(&mut self, process: usize, page: u64) {
        for line in 0..PAGE_LINES {
            let direction = match line % 4 {
                0 => Direction::Write,
                _ => Direction::Read,
            };
            self.touch(
                process,
                Touch {
                    page,
                    line,
                    direction,
                },
            );
        }
    }

    /// Reads one word of a page, as whoever uses memory for the first time does.
    pub(super) fn touch_once(&mut self, process: usize, page: u64) {
        let touch = Touch {
            page,
            line: 0,
            direction: Direction::Read,
        };
        self.touch(process, touch);
    }

    /// The folio of a page: its first frame and size, and the pages in it.
    pub(super) fn folio_of(&self, number: PageNumber) -> Option<(Folio, Vec<PageNumber>)> {
        let folio = &self.pages.get(number)?.folio;
        let head = self.pages.get(*folio.first()?)?.frame?;
        let pages = folio.len() as u64;
        Some((Folio { head, pages }, folio.clone()))
    }

    /// Pages that the fast node has room for.
    pub(super) fn fast_room(&self) -> Option<u64> {
        let used = self.frames.keys().filter(|frame| node_of(**frame) == FAST);
        let used = used.count() as u64;
        self.fast_pages.map(|pages| pages.saturating_sub(used))
    }

    /// Who has a page, and where.
    pub(super) fn owner(&self, number: PageNumber) -> Option<Owner> {
        self.processes.iter().find_map(|process| {
            let page = process.pages.iter().position(|one| *one == number)?;
            Some(Owner {
                process_id: process.state.process_id,
                address: process.state.address + page as u64 * PAGE_BYTES,
            })
        })
    }

    /// The page that a process has at an address.
    pub(super) fn page_at(&self, process_id: u32, address: u64) -> Option<PageNumber> {
        let mut processes = self.processes.iter();
        let process = processes.find(|process| process.state.process_id == process_id)?;
        let page = address.checked_sub(process.state.address)? / PAGE_BYTES;
        process.pages.get(usize::try_from(page).ok()?).copied()
    }

    /// Moves pages together to a node; false when one of them cannot.
    pub(super) fn migrate(&mut self, numbers: &[PageNumber], node: NodeId) -> bool {
        let stays =
            |number: &PageNumber| self.pages[*number].pinned || self.pages[*number].frame.is_none();
        if numbers.iter().any(stays) {
            return false;
        }
        let head = self.allocate(node, numbers.len() as u64);
        let mut left = Vec::new();
        for (part, &number) in (0..).zip(numbers) {
            let new = Pfn(head.0 + part);
            if let Some(old) = self.pages[number].frame.replace(new) {
                self.frames.remove(&old);
                left.push(old);
            }
            self.frames.insert(new, number);
        }
        // The lowest is given out first.
        left.reverse();
        for frame in left {
            self.freed.entry(node_of(frame)).or_default().push(frame);
        }
        true
    }

    /// The owner gives a page back.
    pub(super) fn free(&mut self, number: PageNumber) {
        if let Some(frame) = self.pages[number].frame.take() {
            self.frames.remove(&frame);
            self.freed.entry(node_of(frame)).or_default().push(frame);
        }
    }

    /// Reads everything once and says what was found: what a workload does when it is asked to.
    pub(super) fn verify(&mut self) {
        for process in &mut self.processes {
            let pages = &self.pages;
            let numbers = &process.pages;
            let word = |page: u64, place: u64| {
                let page = &pages[numbers[usize::try_from(page).unwrap_or(0)]];
                page.words[usize::try_from(place).unwrap_or(0)]
            };
            let verification = process.expectation.verify(word);
            process.state.checks = process.expectation.checks().clone();
            process.state.verified = Some(Verified {
                time_ns: self.now_ns,
                verification,
            });
        }
        for (process, since_ns) in std::mem::take(&mut self.sharing) {
            let mut second = self.processes[process].clone();
            second.state.process_id += 1000;
            second.state.ready_monotonic_ns = since_ns;
            self.processes.push(second);
        }
    }

    /// Where each page of a process is.
    pub(super) fn whereabouts(&self, process: usize) -> Vec<Whereabouts> {
        let place = |number: &PageNumber| match self.pages[*number].frame {
            Some(frame) => Whereabouts::Present {
                node: node_of(frame),
                frame: Some(frame),
            },
            None => Whereabouts::Absent(libc::ENOENT),
        };
        self.processes[process].pages.iter().map(place).collect()
    }

    /// Takes back the last write to a word of a page that accesses look at.
    pub(super) fn lose_write(&mut self, number: PageNumber) {
        self.pages[number].words[0] = self.pages[number].words[0].wrapping_sub(1);
    }

    /// Changes a word that no access looks at.
    pub(super) fn spoil_word(&mut self, number: PageNumber) {
        let place = usize::try_from(LINE_WORDS + 1).unwrap_or(1);
        self.pages[number].words[place] ^= 1;
    }
}
