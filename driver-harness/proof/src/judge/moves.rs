// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Move by move: what allowed it, and where it went.

use std::collections::BTreeSet;

use super::Judge;
use crate::ledger::{Justification, Move};
use crate::verdict::{Example, Reason};

impl Judge<'_> {
    /// Whether each move was allowed by a report, and went to a target.
    pub(super) fn order(&mut self) {
        let moves = self.moves.map_or(&[][..], |moves| moves.all());
        for one in moves {
            let reason = match one.justification {
                Justification::Reported => None,
                Justification::Never => Some((Reason::NeverReported, "no report names it")),
                Justification::Later => Some((
                    Reason::MovedBeforeReported,
                    "the first report that names it came after its batch",
                )),
                Justification::AboutEarlier => Some((
                    Reason::MovedTwice,
                    "its report reaches back to what left these frames before",
                )),
            };
            if let Some((reason, detail)) = reason {
                self.find_move(reason, one, detail.to_owned());
            }
            let route = one.route;
            let targets = self
                .evidence
                .targets
                .get(&route.source)
                .map_or(&[][..], Vec::as_slice);
            if !targets.contains(&route.target) {
                let detail = format!("went from node {} to node {}", route.source, route.target);
                self.find_move(Reason::NotATarget, one, detail);
            }
        }
    }

    /// Whether what made room went where it may.
    pub(super) fn demotions(&mut self) {
        let sent = self.moves.map_or(&[][..], |moves| moves.sent_down());
        for one in sent {
            let route = one.route;
            let targets = self.evidence.demotion_targets.get(&route.source);
            if !targets.is_some_and(|targets| targets.contains(&route.target)) {
                self.findings.add(Reason::NotATarget, || Example {
                    frame: Some(one.folio.head.0),
                    line: Some(one.line as u64),
                    detail: format!(
                        "was demoted from node {} to node {}",
                        route.source, route.target
                    ),
                    ..Example::default()
                });
            }
        }
    }

    /// Pages moved of which no workload knows.
    pub(super) fn foreign(&mut self) -> u64 {
        let moves = self.moves.map_or(&[][..], |moves| moves.all());
        let mut foreign = 0_u64;
        for one in moves {
            let known = self.claimed.get(&one.line).map_or(0, BTreeSet::len) as u64;
            let others = one.folio.pages.saturating_sub(known);
            foreign = foreign.saturating_add(others);
            if others > 0 && self.demands.exclusive {
                let detail = format!("{others} of its pages are of no workload that is known");
                self.find_move(Reason::ForeignPageMoved, one, detail);
            }
        }
        foreign
    }

    fn find_move(&mut self, reason: Reason, one: &Move, detail: String) {
        self.findings.add(reason, || Example {
            frame: Some(one.folio.head.0),
            line: Some(one.line as u64),
            detail,
            ..Example::default()
        });
    }
}
