// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What workloads say of their pages, by page and by frame.

use std::collections::BTreeMap;

use chmu_machine::memory::owners::Owner;
use chmu_promotion::Folio;
use chmu_spec::address::Pfn;

use crate::evidence::{Truth, Whereabouts, Witness};
use crate::observation::{ObservedNode, Seen};
use crate::workload::state::State;

/// A page of a workload: the workload's place among the witnesses and the page's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PageId {
    pub(super) witness: usize,
    pub(super) page: u64,
}

/// What a page was at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Warmth {
    /// Hot then.
    Hot,
    /// Hot earlier.
    Stale,
    /// Hot only later.
    Premature,
    /// Neither clearly hot nor clearly cold.
    Unclear,
    /// Never hot.
    Cold,
}

/// The truth about all workloads.
pub(super) struct Truths<'a> {
    witnesses: &'a [Witness],
    /// When each page of each witness was hot: from, until. Empty for a page that never was, and for
    /// witnesses that say nothing of themselves.
    hot_times: Vec<BTreeMap<u64, Vec<(u64, u64)>>>,
    /// Which pages started in a frame, and since when, by time.
    by_frame: BTreeMap<u64, Vec<(u64, PageId)>>,
    /// The frame that each page of each witness started in; none when the kernel hid frames.
    start_frames: Vec<Option<Vec<Pfn>>>,
    /// Large folios at the start, by witness and first frame.
    folios: BTreeMap<(usize, u64), Folio>,
}

impl<'a> Truths<'a> {
    pub(super) fn of(witnesses: &'a [Witness]) -> Truths<'a> {
        let mut by_frame: BTreeMap<u64, Vec<(u64, PageId)>> = BTreeMap::new();
        let mut folios = BTreeMap::new();
        let start_frames: Vec<_> = witnesses
            .iter()
            .map(|witness| witness.truth.start_frames())
            .collect();
        for (witness, Witness { truth, .. }) in witnesses.iter().enumerate() {
            let frames = start_frames[witness].iter().flatten();
            for (page, &frame) in (0..).zip(frames) {
                let id = PageId { witness, page };
                let since_ns = truth.since_ns(page);
                by_frame.entry(frame.0).or_default().push((since_ns, id));
            }
            for folio in truth.large_folios().iter().copied().flatten() {
                folios.insert((witness, folio.head.0), *folio);
            }
        }
        by_frame
            .values_mut()
            .for_each(|pages| pages.sort_unstable());
        Truths {
            witnesses,
            hot_times: witnesses
                .iter()
                .map(|witness| match &witness.truth {
                    Truth::Told(state) => hot_times(state),
                    Truth::Observed(_) => BTreeMap::new(),
                })
                .collect(),
            by_frame,
            start_frames,
            folios,
        }
    }

    pub(super) fn truth(&self, id: PageId) -> &'a Truth {
        &self.witnesses[id.witness].truth
    }

    /// The pages that started in a frame, and since when.
    pub(super) fn started_in(&self, frame: Pfn) -> impl Iterator<Item = (u64, PageId)> {
        self.by_frame.get(&frame.0).into_iter().flatten().copied()
    }

    /// Who has a page, and where; none of a program that was observed.
    pub(super) fn owner(&self, id: PageId) -> Option<Owner> {
        let Truth::Told(state) = self.truth(id) else {
            return None;
        };
        let offset = id.page.checked_mul(state.page_bytes)?;
        Some(Owner {
            process_id: state.process_id,
            address: state.address.checked_add(offset)?,
        })
    }

    /// Where a page is now.
    pub(super) fn whereabouts(&self, id: PageId) -> Option<Whereabouts> {
        let places = &self.witnesses[id.witness].whereabouts;
        places.get(usize::try_from(id.page).ok()?).copied()
    }

    /// The frame that a page started in.
    pub(super) fn start_frame(&self, id: PageId) -> Option<Pfn> {
        let frames = self.start_frames[id.witness].as_ref()?;
        frames.get(usize::try_from(id.page).ok()?).copied()
    }

    /// The folio of several pages that a page started in; none for a base page.
    pub(super) fn large_folio(&self, id: PageId) -> Option<Folio> {
        let frame = self.start_frame(id)?;
        let before = self
            .folios
            .range((id.witness, 0)..=(id.witness, frame.0))
            .next_back();
        before
            .map(|(_, folio)| *folio)
            .filter(|folio| frame < folio.end())
    }

    /// Whether it is hot now, or was last.
    pub(super) fn is_hot(&self, id: PageId) -> bool {
        self.truth(id).is_hot(id.page)
    }

    /// What a page was within a time; `since` and `until` are 0 and the end of time where nobody knows.
    /// Of a page that was observed it is what it was until it left its frame.
    pub(super) fn warmth(&self, id: PageId, since_ns: u64, until_ns: u64) -> Warmth {
        if let Truth::Observed(observed) = self.truth(id) {
            return self.observed_warmth(observed, id);
        }
        let Some(times) = self.hot_times[id.witness].get(&id.page) else {
            return Warmth::Cold;
        };
        let each = times.iter().map(|(from_ns, to_ns)| {
            if *from_ns > until_ns {
                Warmth::Premature
            } else if *to_ns < since_ns {
                Warmth::Stale
            } else {
                Warmth::Hot
            }
        });
        each.min().unwrap_or(Warmth::Cold)
    }
}

impl Truths<'_> {
    fn observed_warmth(&self, observed: &ObservedNode, id: PageId) -> Warmth {
        match observed.seen(id.page) {
            Seen::Hot => Warmth::Hot,
            Seen::Unclear => Warmth::Unclear,
            Seen::Cold if self.left_unseen(observed, id) => Warmth::Unclear,
            Seen::Cold => Warmth::Cold,
        }
    }

    /// Whether a page left its frame after the last look: nobody knows what it was until then.
    fn left_unseen(&self, observed: &ObservedNode, id: PageId) -> bool {
        let was_there = observed
            .page(id.page)
            .is_some_and(|page| page.left.is_none());
        let is_there = matches!(
            self.whereabouts(id),
            Some(Whereabouts::Present { frame, .. }) if frame == self.start_frame(id)
        );
        was_there && !is_there
    }
}

fn hot_times(state: &State) -> BTreeMap<u64, Vec<(u64, u64)>> {
    let mut times: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for set in &state.earlier_hot_sets {
        for page in &set.pages {
            times
                .entry(*page)
                .or_default()
                .push((set.from_ns, set.until_ns));
        }
    }
    // Pages that nobody has touched yet will be hot: at no time that can be named.
    let since_ns = state.hot_since_ns.unwrap_or(u64::MAX);
    for page in &state.hot_pages {
        times.entry(*page).or_default().push((since_ns, u64::MAX));
    }
    times
}
