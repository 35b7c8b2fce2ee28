// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Folios that wait to be promoted, from one node to one other: hottest first, each once.

use std::collections::{BTreeMap, BTreeSet};

use chmu_machine::memory::owners::Owner;
use chmu_spec::address::Pfn;

use crate::aggregate::{Heat, Origin};
use crate::batch::Folio;
use crate::machine::Identity;

#[cfg(test)]
mod tests;

/// A folio that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) folio: Folio,
    pub(crate) heat: Heat,
    pub(crate) origin: Origin,
    /// Since when.
    pub(crate) since_ns: u64,
    /// What it was when it was found to be hot.
    pub(crate) identity: Option<Identity>,
    /// Who maps it, where a source said so.
    pub(crate) owner: Option<Owner>,
    /// How often it was tried and did not move.
    pub(crate) attempts: u32,
}

/// What became of a folio that came to a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits from now on.
    New,
    /// It waited before, and may be hotter now.
    Known,
    /// It waits from now on, instead of this one, which was colder.
    Instead(Waiting),
    /// All that wait are hotter: it finds no place.
    Refused(Waiting),
}

/// Folios that wait, by heat.
#[derive(Debug, Clone)]
pub(crate) struct PromotionQueue {
    folios: BTreeMap<Pfn, Waiting>,
    /// Coldest first; among equals the later frame is the colder.
    order: BTreeSet<(Heat, std::cmp::Reverse<Pfn>)>,
    /// By age.
    ages: BTreeSet<(u64, Pfn)>,
    folios_max: usize,
    pages: u64,
}

impl PromotionQueue {
    pub(crate) fn new(folios_max: usize) -> PromotionQueue {
        PromotionQueue {
            folios: BTreeMap::new(),
            order: BTreeSet::new(),
            ages: BTreeSet::new(),
            folios_max: folios_max.max(1),
            pages: 0,
        }
    }

    /// Adds a folio. One that waits with the same first frame is taken for an earlier state of the same
    /// folio: the newer state counts, with the greater heat, and the earlier time.
    pub(crate) fn push(&mut self, mut waiting: Waiting) -> Pushed {
        let head = waiting.folio.head;
        if let Some(known) = self.folios.get_mut(&head) {
            waiting.heat = waiting.heat.max(known.heat);
            waiting.origin = waiting.origin.and(known.origin);
            waiting.attempts = waiting.attempts.max(known.attempts);
            if waiting.heat != known.heat {
                self.order.remove(&(known.heat, std::cmp::Reverse(head)));
                self.order.insert((waiting.heat, std::cmp::Reverse(head)));
            }
            if waiting.since_ns < known.since_ns {
                self.ages.remove(&(known.since_ns, head));
                self.ages.insert((waiting.since_ns, head));
            }
            waiting.since_ns = waiting.since_ns.min(known.since_ns);
            self.pages = self.pages.saturating_sub(known.folio.pages);
            self.pages = self.pages.saturating_add(waiting.folio.pages);
            *known = waiting;
            return Pushed::Known;
        }
        if self.folios.len() < self.folios_max {
            self.insert(waiting);
            return Pushed::New;
        }
        let key = (waiting.heat, std::cmp::Reverse(head));
        match self.order.first() {
            Some(&coldest) if coldest < key => match self.remove(coldest.1.0) {
                Some(colder) => {
                    self.insert(waiting);
                    Pushed::Instead(colder)
                }
                None => Pushed::Refused(waiting),
            },
            _ => Pushed::Refused(waiting),
        }
    }

    /// Takes the hottest: at most so many folios, and so many pages unless the first alone has more.
    pub(crate) fn take(&mut self, folios_max: usize, pages_max: u64) -> Vec<Waiting> {
        let mut taken = Vec::new();
        let mut pages = 0_u64;
        while taken.len() < folios_max
            && pages < pages_max
            && let Some((_, std::cmp::Reverse(head))) = self.order.last().copied()
            && let Some(next) = self.folios.get(&head)
            && (taken.is_empty() || pages.saturating_add(next.folio.pages) <= pages_max)
        {
            pages = pages.saturating_add(next.folio.pages);
            taken.extend(self.remove(head));
        }
        taken
    }

    /// Takes all that have waited since before this time.
    pub(crate) fn take_older(&mut self, than_ns: u64) -> Vec<Waiting> {
        let mut taken = Vec::new();
        while let Some((since_ns, head)) = self.ages.first().copied()
            && since_ns < than_ns
        {
            taken.extend(self.remove(head));
        }
        taken
    }

    /// Whether a folio waits, exactly as it is.
    pub(crate) fn holds(&self, folio: Folio) -> bool {
        self.folios
            .get(&folio.head)
            .is_some_and(|waiting| waiting.folio == folio)
    }

    /// Whether a folio with this first frame waits.
    pub(crate) fn holds_head(&self, head: Pfn) -> bool {
        self.folios.contains_key(&head)
    }

    /// How many folios wait.
    pub(crate) fn len(&self) -> usize {
        self.folios.len()
    }

    /// How many pages these have.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Since when the one waits that waits longest.
    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        self.ages.first().map(|(since_ns, _)| *since_ns)
    }

    fn insert(&mut self, waiting: Waiting) {
        let head = waiting.folio.head;
        self.order.insert((waiting.heat, std::cmp::Reverse(head)));
        self.ages.insert((waiting.since_ns, head));
        self.pages = self.pages.saturating_add(waiting.folio.pages);
        self.folios.insert(head, waiting);
    }

    fn remove(&mut self, head: Pfn) -> Option<Waiting> {
        let waiting = self.folios.remove(&head)?;
        self.order.remove(&(waiting.heat, std::cmp::Reverse(head)));
        self.ages.remove(&(waiting.since_ns, head));
        self.pages = self.pages.saturating_sub(waiting.folio.pages);
        Some(waiting)
    }
}
