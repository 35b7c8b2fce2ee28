// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What was found, by reason.

use std::collections::BTreeMap;

use crate::verdict::{Claim, EXAMPLES_MAX, Example, Finding, Reason};

#[derive(Debug, Default)]
pub(super) struct Findings {
    by_reason: BTreeMap<Reason, Finding>,
}

impl Findings {
    /// Adds one; `example` is only made when it is kept.
    pub(super) fn add(&mut self, reason: Reason, example: impl FnOnce() -> Example) {
        self.add_several(reason, 1, example);
    }

    /// Adds so many with one example.
    pub(super) fn add_several(
        &mut self,
        reason: Reason,
        count: u64,
        example: impl FnOnce() -> Example,
    ) {
        let finding = self.by_reason.entry(reason).or_insert_with(|| Finding {
            reason,
            claim: reason.claim(),
            count: 0,
            examples: Vec::new(),
        });
        finding.count = finding.count.saturating_add(count);
        if finding.examples.len() < EXAMPLES_MAX {
            finding.examples.push(example());
        }
    }

    /// Takes back what the demands allow.
    pub(super) fn forgive(&mut self, reasons: &[Reason]) {
        self.by_reason.retain(|reason, _| !reasons.contains(reason));
    }

    pub(super) fn breaks(&self, claim: Claim) -> bool {
        self.by_reason.keys().any(|reason| reason.claim() == claim)
    }

    /// By claim and reason.
    pub(super) fn into_list(self) -> Vec<Finding> {
        let mut list: Vec<_> = self.by_reason.into_values().collect();
        list.sort_by_key(|finding| (finding.claim, finding.reason));
        list
    }
}
