// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Folios that did not move, and when each is tried again.

use std::collections::BTreeMap;

use chmu_spec::address::Pfn;

use crate::batch::{Folio, Route};
use crate::queue::Waiting;

/// Each folio once.
#[derive(Debug, Clone, Default)]
pub(super) struct Later {
    by_due: BTreeMap<(u64, Pfn), (Route, Waiting)>,
    by_head: BTreeMap<Pfn, u64>,
}

impl Later {
    pub(super) fn insert(&mut self, due_ns: u64, route: Route, waiting: Waiting) {
        let head = waiting.folio.head;
        if let Some(known) = self.by_head.insert(head, due_ns) {
            self.by_due.remove(&(known, head));
        }
        self.by_due.insert((due_ns, head), (route, waiting));
    }

    /// Takes those whose time has come.
    pub(super) fn take_due(&mut self, now_ns: u64) -> Vec<(Route, Waiting)> {
        let mut due = Vec::new();
        while let Some(entry) = self.by_due.first_entry()
            && entry.key().0 <= now_ns
        {
            let ((_, head), found) = entry.remove_entry();
            self.by_head.remove(&head);
            due.push(found);
        }
        due
    }

    pub(super) fn holds(&self, folio: Folio) -> bool {
        self.by_head.contains_key(&folio.head)
    }

    /// When the first is due.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.by_due.keys().next().map(|(due_ns, _)| *due_ns)
    }

    pub(super) fn len(&self) -> usize {
        self.by_due.len()
    }
}
