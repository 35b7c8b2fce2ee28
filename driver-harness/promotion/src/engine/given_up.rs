// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Folios that are left alone for a while, and what was said of them.

use std::collections::{BTreeMap, BTreeSet};

use chmu_spec::address::Pfn;

use crate::batch::Folio;
use crate::rejection::Rejection;

/// Folios that are remembered.
const FOLIOS_MAX: usize = 1 << 18;

/// Folios that could not be moved or need not be, and until when nobody tries.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenUp {
    folios: BTreeMap<Pfn, Entry>,
    order: BTreeSet<(u64, Pfn)>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    folio: Folio,
    reason: Rejection,
    /// Nobody tries before then.
    until_ns: u64,
    /// Its reason is no news before then; it is forgotten at that time.
    said_until_ns: u64,
}

impl GivenUp {
    /// Leaves a folio alone until then, and forgets it. When there are too many, those whose time is over
    /// first are forgotten.
    pub(super) fn insert(&mut self, folio: Folio, reason: Rejection, until_ns: u64) {
        self.remember(Entry {
            folio,
            reason,
            until_ns,
            said_until_ns: until_ns,
        });
    }

    /// Leaves a folio alone until the first of these times. Returns whether its reason is news: it is
    /// not when the same was said of it, and then until the second of the times that were given.
    pub(super) fn wait(
        &mut self,
        (folio, reason): (Folio, Rejection),
        (until_ns, said_until_ns): (u64, u64),
        now_ns: u64,
    ) -> bool {
        self.expire(now_ns);
        let known = self.folios.get(&folio.head);
        let known = known.filter(|known| (known.folio, known.reason) == (folio, reason));
        let known = known.map(|known| known.said_until_ns);
        self.remember(Entry {
            folio,
            reason,
            until_ns,
            said_until_ns: known.unwrap_or(said_until_ns).max(until_ns),
        });
        known.is_none()
    }

    /// Why a folio is left alone now, if it is.
    pub(super) fn reason(&mut self, folio: Folio, now_ns: u64) -> Option<Rejection> {
        self.expire(now_ns);
        let known = self.folios.get(&folio.head)?;
        (known.folio == folio && known.until_ns > now_ns).then_some(known.reason)
    }

    fn remember(&mut self, entry: Entry) {
        let head = entry.folio.head;
        self.remove(head);
        self.folios.insert(head, entry);
        self.order.insert((entry.said_until_ns, head));
        while self.folios.len() > FOLIOS_MAX
            && let Some((_, head)) = self.order.first().copied()
        {
            self.remove(head);
        }
    }

    fn expire(&mut self, now_ns: u64) {
        while let Some((until_ns, head)) = self.order.first().copied()
            && until_ns <= now_ns
        {
            self.remove(head);
        }
    }

    fn remove(&mut self, head: Pfn) {
        if let Some(entry) = self.folios.remove(&head) {
            self.order.remove(&(entry.said_until_ns, head));
        }
    }
}
