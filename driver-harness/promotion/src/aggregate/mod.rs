// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From the reports of several sources to the heat of folios.
//!
//! One access is never counted twice. Weights of one member of a source, such as one device, are of
//! different accesses and add up. Members of one source may see the same accesses, so that of a frame
//! the largest counts; the frames of a folio add up. Different sources may see the same accesses too:
//! each has a heat of its own for a folio, and the folio's is the greatest.

use std::collections::BTreeMap;

use chmu_spec::address::Pfn;

use crate::batch::Folio;
use crate::folio::FOLIO_PAGES_MAX;

mod heat;
mod shares;
#[cfg(test)]
mod tests;

pub use heat::ACCESS;
pub(crate) use heat::{HalfLife, Heat};
pub(crate) use shares::{Ignored, Shares};

/// Folios whose heat is remembered.
const FOLIOS_MAX: usize = 1 << 18;
/// When there are too many, so many parts of one of them are forgotten besides: to find the coldest takes a look at all.
const SPARE_PART: usize = 16;

/// A source's number: its place in the order in which sources were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SourceId(pub u32);

/// Sources that reported a folio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Origin(u64);

impl Origin {
    pub(crate) fn of(source: SourceId) -> Origin {
        Origin(1 << source.0.min(u64::BITS - 1))
    }

    #[must_use]
    pub(crate) fn and(self, other: Origin) -> Origin {
        Origin(self.0 | other.0)
    }

    /// Ascending.
    pub(crate) fn sources(self) -> impl Iterator<Item = SourceId> {
        (0..u64::BITS)
            .filter(move |bit| self.0 >> bit & 1 == 1)
            .map(SourceId)
    }
}

/// Which pages of a large folio were reported.
#[derive(Debug, Clone)]
struct Touched(Box<[u64; (FOLIO_PAGES_MAX / 64) as usize]>);

/// What is known of a folio.
#[derive(Debug, Clone)]
struct Entry {
    folio: Folio,
    heats: Vec<(SourceId, Heat)>,
    /// Only for folios of several pages.
    touched: Option<Touched>,
}

/// A folio's heat after a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heated {
    /// The folio's heat: of the source for which it is greatest.
    pub(crate) heat: Heat,
    /// Who reported it since it is known.
    pub(crate) origin: Origin,
    /// It was not known before.
    pub(crate) is_new: bool,
    /// Pages of it that were reported since it is known.
    pub(crate) hot_pages: u64,
}

/// The heat of folios.
#[derive(Debug, Clone)]
pub(crate) struct Aggregator {
    half_life: HalfLife,
    folios: BTreeMap<Pfn, Entry>,
    /// Folios of several pages among them.
    large: usize,
    folios_max: usize,
}

impl Aggregator {
    pub(crate) fn new(half_life: HalfLife) -> Aggregator {
        Aggregator {
            half_life,
            folios: BTreeMap::new(),
            large: 0,
            folios_max: FOLIOS_MAX,
        }
    }

    /// Adds what a source reported of a folio: the accesses of all its pages together, in thousandths,
    /// and the pages that were named. None when that is nothing.
    pub(crate) fn add(
        &mut self,
        folio: Folio,
        source: SourceId,
        (thousandths, named): (u64, &[Pfn]),
        now_ns: u64,
    ) -> Option<Heated> {
        self.drop_others_in(folio);
        // Heat is per page: what moves costs by the page. It rounds up, so that nothing hot is lost.
        let per_page = thousandths.div_ceil(folio.pages.max(1));
        let (half_life, mut is_new) = (self.half_life, false);
        let entry = self.folios.entry(folio.head).or_insert_with(|| {
            is_new = true;
            Entry::new(folio)
        });
        entry.add(half_life, source, per_page, now_ns);
        entry.touch(named);
        let Some(heat) = entry.heat() else {
            self.folios.remove(&folio.head);
            return None;
        };
        let heated = Heated {
            heat,
            origin: entry.origin(),
            is_new,
            hot_pages: entry.hot_pages(),
        };
        if is_new {
            self.large += usize::from(folio.pages > 1);
            self.evict();
        }
        Some(heated)
    }

    /// A folio is not where it was, or not of interest any more.
    pub(crate) fn forget(&mut self, head: Pfn) {
        if let Some(entry) = self.folios.remove(&head) {
            self.large -= usize::from(entry.folio.pages > 1);
        }
    }

    /// Folios known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.folios.len()
    }

    /// Forgets folios that share frames with this one and are not the same: they were split or merged.
    fn drop_others_in(&mut self, folio: Folio) {
        if folio.pages == 1 && self.large == 0 {
            return;
        }
        let first = folio.head.0.saturating_sub(FOLIO_PAGES_MAX);
        let others: Vec<_> = self
            .folios
            .range(Pfn(first)..folio.end())
            .filter(|(_, entry)| entry.folio.end() > folio.head && entry.folio != folio)
            .map(|(head, _)| *head)
            .collect();
        others.into_iter().for_each(|head| self.forget(head));
    }

    /// Forgets the coldest when there are too many.
    fn evict(&mut self) {
        if self.folios.len() <= self.folios_max {
            return;
        }
        let kept = self.folios_max - self.folios_max / SPARE_PART;
        let heats = self
            .folios
            .iter()
            .map(|(head, entry)| (entry.heat(), *head));
        let mut heats: Vec<_> = heats.collect();
        let forgotten = heats.len() - kept;
        heats.select_nth_unstable(forgotten - 1);
        for (_, head) in &heats[..forgotten] {
            self.forget(*head);
        }
    }
}

impl Entry {
    fn new(folio: Folio) -> Entry {
        Entry {
            folio,
            heats: Vec::new(),
            touched: (folio.pages > 1).then(|| Touched(Box::default())),
        }
    }

    fn add(&mut self, half_life: HalfLife, source: SourceId, thousandths: u64, now_ns: u64) {
        let place = self.heats.iter().position(|(one, _)| *one == source);
        let known = place.map(|place| self.heats[place].1);
        let Some(heat) = half_life.add(known, thousandths, now_ns) else {
            return;
        };
        match place {
            Some(place) => self.heats[place].1 = heat,
            None => self.heats.push((source, heat)),
        }
    }

    fn touch(&mut self, named: &[Pfn]) {
        let Some(Touched(bits)) = &mut self.touched else {
            return;
        };
        for frame in named {
            let page = frame.0.saturating_sub(self.folio.head.0);
            let word = usize::try_from(page / 64).unwrap_or(usize::MAX);
            if let Some(word) = bits.get_mut(word) {
                *word |= 1 << (page % 64);
            }
        }
    }

    fn heat(&self) -> Option<Heat> {
        self.heats.iter().map(|(_, heat)| *heat).max()
    }

    fn origin(&self) -> Origin {
        let sources = self.heats.iter().map(|(source, _)| Origin::of(*source));
        sources.fold(Origin::default(), Origin::and)
    }

    fn hot_pages(&self) -> u64 {
        match &self.touched {
            None => 1,
            Some(Touched(bits)) => bits.iter().map(|word| u64::from(word.count_ones())).sum(),
        }
    }
}
