// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Of which pages a ledger says that they were refused for one reason, and how often.

use std::collections::BTreeMap;

use chmu_promotion::Rejection;
use chmu_promotion::ledger::{Action, Event};
use chmu_spec::address::Pfn;

/// A page that was refused is left alone for so long, and what is said of it is no news.
pub(super) const AGAIN_NS: u64 = 60_000_000_000;

/// When each folio was refused for a reason, and whether that came of a batch, by first frame.
#[derive(Debug)]
pub(super) struct Refusals(BTreeMap<Pfn, Vec<(u64, bool)>>);

impl Refusals {
    /// Those of a ledger's lines.
    pub(super) fn of(events: &[Event], reason: Rejection) -> Refusals {
        let mut said: BTreeMap<Pfn, Vec<(u64, bool)>> = BTreeMap::new();
        for event in events {
            if let Action::Refused(refused) = &event.action
                && refused.reason == reason
            {
                let times = said.entry(refused.folio.head).or_default();
                times.push((event.time_ns, refused.batch.is_some()));
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

    /// How many folios were refused again within a minute. What comes of a batch is news where it was only said before
    /// that none is tried: there was room for it meanwhile, and others took that.
    pub(super) fn too_often(&self) -> usize {
        let is_soon = |pair: &[(u64, bool)]| {
            let [(before_ns, was_tried), (now_ns, is_tried)] = [pair[0], pair[1]];
            now_ns.saturating_sub(before_ns) < AGAIN_NS && (was_tried || !is_tried)
        };
        let too_often = self.0.values();
        too_often
            .filter(|times| times.windows(2).any(is_soon))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_a_batch_is_news_once() {
        const SECOND_NS: u64 = 1_000_000_000;
        let too_often = |said: &[(u64, bool)]| {
            let times = said
                .iter()
                .map(|(second, tried)| (second * SECOND_NS, *tried));
            Refusals(BTreeMap::from([(Pfn(7), times.collect())])).too_often()
        };
        assert_eq!(too_often(&[(1, false)]), 0);
        assert_eq!(too_often(&[(1, false), (61, false)]), 0);
        assert_eq!(too_often(&[(1, false), (60, false)]), 1);
        assert_eq!(too_often(&[(1, false), (5, true)]), 0);
        assert_eq!(too_often(&[(1, false), (5, true), (9, true)]), 1);
        assert_eq!(too_often(&[(1, true), (5, false)]), 1);
    }
}
