// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Of which pages a ledger says that they were refused for one reason, and how often.

use std::collections::BTreeMap;

use chmu_promotion::Rejection;
use chmu_promotion::ledger::{Action, Event};
use chmu_spec::address::Pfn;

/// A page that was refused is left alone for so long, and what is said of it is no news.
pub(super) const AGAIN_NS: u64 = 60_000_000_000;

/// When each folio was refused for a reason, by first frame.
#[derive(Debug)]
pub(super) struct Refusals(BTreeMap<Pfn, Vec<u64>>);

impl Refusals {
    /// Those of a ledger's lines.
    pub(super) fn of(events: &[Event], reason: Rejection) -> Refusals {
        let mut said: BTreeMap<Pfn, Vec<u64>> = BTreeMap::new();
        for event in events {
            if let Action::Refused(refused) = &event.action
                && refused.reason == reason
            {
                let times = said.entry(refused.folio.head).or_default();
                times.push(event.time_ns);
            }
        }
        Refusals(said)
    }

    /// How many folios were refused.
    pub(super) fn folios(&self) -> usize {
        self.0.len()
    }

    /// Whether the folio that begins in a frame was.
    pub(super) fn has(&self, frame: Pfn) -> bool {
        self.0.contains_key(&frame)
    }

    /// How many folios were refused again within a minute.
    pub(super) fn too_often(&self) -> usize {
        let is_soon = |pair: &[u64]| pair[1].saturating_sub(pair[0]) < AGAIN_NS;
        let too_often = self.0.values();
        too_often
            .filter(|times| times.windows(2).any(is_soon))
            .count()
    }
}
