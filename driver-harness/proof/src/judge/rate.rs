// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether more moved in a time than the policy allows.

use std::collections::BTreeMap;

use super::Judge;
use crate::ledger::{Ledger, RATE};
use crate::verdict::{Example, Reason};

/// Pages that may be made up for after a pause: those of this part of a second.
const BURST_NS: u128 = 250_000_000;
const SECOND_NS: u128 = 1_000_000_000;

/// A batch as far as the rate is concerned.
struct Batch {
    made_ns: u64,
    pages: u64,
    largest_folio: u64,
    line: usize,
}

impl Judge<'_> {
    /// The policy's bound holds from any batch to any later one. What goes beyond by one folio is
    /// allowed: it is the smallest thing that can move. A bound that is not told is a fault of the
    /// ledger's own.
    pub(super) fn rate(&mut self, ledger: &Ledger) {
        let Some(rate) = ledger
            .begin()
            .policy
            .get(RATE)
            .and_then(serde_json::Value::as_u64)
        else {
            return;
        };
        let mut batches: BTreeMap<u64, Batch> = BTreeMap::new();
        for one in self.moves.map_or(&[][..], |moves| moves.all()) {
            let batch = batches.entry(one.batch).or_insert(Batch {
                made_ns: one.made_ns,
                pages: 0,
                largest_folio: 0,
                line: one.line,
            });
            batch.pages = batch.pages.saturating_add(one.folio.pages);
            batch.largest_folio = batch.largest_folio.max(one.folio.pages);
        }
        let mut batches: Vec<_> = batches.into_values().collect();
        batches.sort_by_key(|batch| batch.made_ns);
        let rate = u128::from(rate);
        let room = (rate * BURST_NS).max(SECOND_NS);
        // Pages in parts of a second's worth that are above what time has allowed since.
        let (mut above, mut last_ns) = (0_u128, 0);
        for batch in batches {
            let passed = u128::from(batch.made_ns.saturating_sub(last_ns));
            last_ns = batch.made_ns;
            above = above.saturating_sub(rate.saturating_mul(passed));
            above = above.saturating_add(u128::from(batch.pages) * SECOND_NS);
            let allowed = room.saturating_add(u128::from(batch.largest_folio) * SECOND_NS);
            if above > allowed {
                let pages = batch.pages;
                self.findings.add(Reason::OverRate, || Example {
                    line: Some(batch.line as u64),
                    detail: format!("with its {pages} pages more moved than {rate} a second"),
                    ..Example::default()
                });
            }
        }
    }
}
