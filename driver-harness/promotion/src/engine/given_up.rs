// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Folios that are left alone for a while.

use std::collections::{BTreeMap, BTreeSet};

use chmu_spec::address::Pfn;

use crate::batch::Folio;
use crate::rejection::Rejection;

/// Folios that are remembered.
const FOLIOS_MAX: usize = 1 << 18;

/// Folios that could not be moved or need not be, and until when nobody tries.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenUp {
    folios: BTreeMap<Pfn, (Folio, Rejection, u64)>,
    order: BTreeSet<(u64, Pfn)>,
}

impl GivenUp {
    /// Leaves a folio alone until then. When there are too many, those whose time is over first are
    /// forgotten.
    pub(super) fn insert(&mut self, folio: Folio, reason: Rejection, until_ns: u64) {
        self.remove(folio.head);
        self.folios.insert(folio.head, (folio, reason, until_ns));
        self.order.insert((until_ns, folio.head));
        while self.folios.len() > FOLIOS_MAX
            && let Some((_, head)) = self.order.first().copied()
        {
            self.remove(head);
        }
    }

    /// Why a folio is left alone now, if it is.
    pub(super) fn reason(&mut self, folio: Folio, now_ns: u64) -> Option<Rejection> {
        while let Some((until_ns, head)) = self.order.first().copied()
            && until_ns <= now_ns
        {
            self.remove(head);
        }
        let (known, reason, _) = self.folios.get(&folio.head)?;
        (*known == folio).then_some(*reason)
    }

    fn remove(&mut self, head: Pfn) {
        if let Some((_, _, until_ns)) = self.folios.remove(&head) {
            self.order.remove(&(until_ns, head));
        }
    }
}
