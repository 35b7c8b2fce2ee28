// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether pages hold what was written to them.

use chmu_machine::words;
use chmu_promotion::ledger::Action;

use super::Judge;
use crate::evidence::Truth;
use crate::ledger::Ledger;
use crate::verdict::{Example, Reason};
use crate::workload::WrongWord;
use crate::workload::state::State;

impl Judge<'_> {
    pub(super) fn content(&mut self) {
        for witness in &self.evidence.witnesses {
            if let Truth::Told(state) = &witness.truth {
                self.accesses(state);
                self.whole_pages(state);
            }
        }
    }

    /// What was found word by word.
    fn accesses(&mut self, state: &State) {
        let checks = &state.checks;
        self.counts.words_checked = self
            .counts
            .words_checked
            .saturating_add(checks.words_checked);
        let other = checks.wrong_words.saturating_sub(checks.outdated_words);
        for (reason, count, is_outdated) in [
            (Reason::OutdatedWord, checks.outdated_words, true),
            (Reason::WrongWord, other, false),
        ] {
            let mut examples = checks
                .examples
                .iter()
                .filter(|wrong| wrong.writes_missing.is_some() == is_outdated);
            let first = examples.next();
            if count == 0 {
                continue;
            }
            self.findings.add_several(reason, count, || match first {
                None => Example {
                    process_id: Some(state.process_id),
                    detail: "was not among the first".to_owned(),
                    ..Example::default()
                },
                Some(wrong) => Example {
                    process_id: Some(state.process_id),
                    page: Some(wrong.page),
                    detail: match wrong.writes_missing {
                        Some(1) => format!("word {} lacks its last write", wrong.place),
                        Some(writes) => {
                            format!("word {} lacks its last {writes} writes", wrong.place)
                        }
                        None => differs(wrong.place, wrong.found, wrong.expected),
                    },
                    ..Example::default()
                },
            });
        }
    }

    /// What was found page by page.
    fn whole_pages(&mut self, state: &State) {
        let Some(verified) = &state.verified else {
            return;
        };
        let found = &verified.verification;
        self.counts.pages_verified = self
            .counts
            .pages_verified
            .saturating_add(found.pages_checked);
        let described = found.wrong_words.len() as u64;
        for WrongWord {
            page,
            place,
            expected,
            found,
        } in &found.wrong_words
        {
            self.findings.add(Reason::WrongContent, || Example {
                process_id: Some(state.process_id),
                page: Some(*page),
                detail: differs(*place, *found, *expected),
                ..Example::default()
            });
        }
        let more = found.corrupt_pages.saturating_sub(described);
        if more > 0 {
            self.findings
                .add_several(Reason::WrongContent, more, || Example {
                    process_id: Some(state.process_id),
                    detail: "pages that are not described".to_owned(),
                    ..Example::default()
                });
        }
    }
}

/// Why it is not known what a workload's pages hold, if it is not: all of them must have been looked at
/// since the last move.
pub(super) fn missing(state: &State, ledger: Option<&Ledger>) -> Option<String> {
    let Some(verified) = &state.verified else {
        return Some("the workload has not looked at its pages".to_owned());
    };
    let checked = verified.verification.pages_checked;
    if checked != state.pages {
        let pages = state.pages;
        return Some(format!(
            "the workload has looked at {checked} of its {pages} pages"
        ));
    }
    let moves = ledger.into_iter().flat_map(Ledger::events);
    let ended = moves.filter_map(|event| match &event.action {
        Action::Moved(moved) => Some(moved.ended_ns),
        _ => None,
    });
    let since_ns = ended.max()?.checked_sub(verified.time_ns)?;
    (since_ns > 0).then(|| {
        format!(
            "the workload looked at its pages {} before the last of them moved",
            words::span(since_ns)
        )
    })
}

fn differs(place: u64, found: u64, expected: u64) -> String {
    format!("word {place} is {found:#018x} instead of {expected:#018x}")
}
