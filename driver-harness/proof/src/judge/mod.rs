// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Evidence against demands.

use std::collections::{BTreeMap, BTreeSet};

use chmu_machine::words;
use chmu_promotion::ledger::Action;
use chmu_spec::address::Pfn;

use crate::evidence::{Demands, Evidence, Truth, Witness};
use crate::ledger::{Fault, FaultKind, Ledger, Moves};
use crate::verdict::{Claim, Counts, Example, Judgement, LedgerCounts, Outcome, Reason, Verdict};
use crate::workload::state::State;
use findings::Findings;
use truths::Truths;

mod content;
mod findings;
mod moves;
mod pages;
mod rate;
mod truths;

#[cfg(test)]
mod observed_tests;
#[cfg(test)]
mod tests;

/// Judges what is known. `truth` says where the truth comes from.
pub fn judge(evidence: &Evidence, demands: &Demands, truth: &str) -> Verdict {
    let truths = Truths::of(&evidence.witnesses);
    let moves = evidence.ledger.as_ref().map(Moves::of);
    let mut judge = Judge {
        evidence,
        demands,
        truths: &truths,
        moves: moves.as_ref(),
        findings: Findings::default(),
        counts: Counts::default(),
        claimed: BTreeMap::new(),
    };
    let promoted = judge.pages();
    judge.counts.moved_pages = promoted.pages;
    judge.content();
    let ledger = evidence.ledger.as_ref().map(|ledger| judge.ledger(ledger));
    let counts = judge.counts;
    let ratio = |part, whole| (whole > 0).then(|| ratio(part, whole));
    let recall = ratio(counts.promoted_hot_pages, counts.true_hot_pages);
    let precision = ratio(promoted.right_folios, promoted.folios);
    let page_precision = ratio(promoted.right_pages, promoted.pages);
    let mut findings = judge.findings;
    if recall.is_some_and(|recall| recall >= demands.minimum_recall) {
        findings.forgive(&[Reason::NotPromoted]);
    }
    if precision.is_none_or(|precision| precision >= demands.minimum_precision)
        && demands.minimum_precision < 1.0
    {
        findings.forgive(&[
            Reason::ColdPageMoved,
            Reason::StalePageMoved,
            Reason::MovedBeforeHot,
        ]);
    }
    let claims: Vec<_> = Claim::ALL
        .into_iter()
        .map(|claim| judgement(claim, (evidence, demands), &findings, &counts))
        .collect();
    Verdict {
        verdict: overall(&claims),
        claims,
        findings: findings.into_list(),
        truth: truth.to_owned(),
        counts,
        ledger,
        precision,
        page_precision,
        recall,
    }
}

/// What is judged, and what was found until now.
struct Judge<'a> {
    evidence: &'a Evidence,
    demands: &'a Demands,
    truths: &'a Truths<'a>,
    moves: Option<&'a Moves>,
    findings: Findings,
    counts: Counts,
    /// Frames of workloads that a move emptied, by the move's line.
    claimed: BTreeMap<usize, BTreeSet<Pfn>>,
}

impl Judge<'_> {
    /// Judges the ledger by itself and its moves.
    fn ledger(&mut self, ledger: &Ledger) -> LedgerCounts {
        for fault in ledger.faults(self.demands.killed) {
            self.fault(fault);
        }
        self.future(ledger);
        self.order();
        self.demotions();
        self.rate(ledger);
        let mut counts = LedgerCounts::default();
        for event in ledger.events() {
            match &event.action {
                Action::Source(said) => {
                    counts.units_reported = counts.units_reported.saturating_add(said.units);
                    counts.pages_reported = counts.pages_reported.saturating_add(said.pages);
                }
                Action::Batch(_) => counts.batches += 1,
                Action::Moved(moved) => {
                    counts.folios_moved += 1;
                    counts.pages_moved = counts.pages_moved.saturating_add(moved.folio.pages);
                    counts.largest_folio_pages = counts.largest_folio_pages.max(moved.folio.pages);
                }
                _ => {}
            }
        }
        counts.foreign_pages_moved = self.foreign();
        counts
    }

    /// Nothing is written down before it happens.
    fn future(&mut self, ledger: &Ledger) {
        let now_ns = self.evidence.now_ns;
        let later = (1..)
            .zip(ledger.events())
            .filter(|(_, event)| event.time_ns > now_ns);
        for (line, event) in later {
            let ahead_ns = event.time_ns - now_ns;
            self.findings.add(Reason::LedgerOrder, || Example {
                line: Some(line),
                detail: format!("is {} ahead of the clock", words::span(ahead_ns)),
                ..Example::default()
            });
        }
    }

    fn fault(&mut self, fault: Fault) {
        let reason = match fault.kind {
            FaultKind::Unfinished => Reason::LedgerUnfinished,
            FaultKind::Totals => Reason::LedgerTotals,
            FaultKind::Order => Reason::LedgerOrder,
            FaultKind::Beginning => Reason::LedgerBeginning,
            FaultKind::CauseMissing => Reason::LedgerCauseMissing,
            FaultKind::FateMissing => Reason::LedgerFateMissing,
            FaultKind::FateInvented => Reason::LedgerFateInvented,
            FaultKind::Policy => Reason::LedgerPolicy,
        };
        self.findings.add(reason, || Example {
            line: Some(fault.line as u64),
            detail: fault.text,
            ..Example::default()
        });
    }
}

fn judgement(
    claim: Claim,
    (evidence, demands): (&Evidence, &Demands),
    findings: &Findings,
    counts: &Counts,
) -> Judgement {
    if claim == Claim::Content && nothing_is_told(&evidence.witnesses) {
        return Judgement {
            claim,
            outcome: Outcome::NotClaimed,
            missing: Some("nobody knows what a foreign program wrote to its pages".to_owned()),
        };
    }
    let missing = missing(claim, evidence, demands, counts);
    let outcome = match (findings.breaks(claim), &missing) {
        (true, _) => Outcome::Fail,
        (false, Some(_)) => Outcome::Unproved,
        (false, None) => Outcome::Pass,
    };
    Judgement {
        claim,
        outcome,
        missing,
    }
}

/// What it would take to prove a claim that is not there.
fn missing(
    claim: Claim,
    evidence: &Evidence,
    demands: &Demands,
    counts: &Counts,
) -> Option<String> {
    let witnesses = &evidence.witnesses;
    if claim.needs_ledger() && evidence.ledger.is_none() {
        return Some("there is no ledger; give --ledger".to_owned());
    }
    match claim {
        Claim::Recall if counts.true_hot_pages == 0 => Some("no page is hot".to_owned()),
        Claim::Precision | Claim::Attribution if !pages::frames_are_known(witnesses) => Some(
            "the kernel hides frames, so that a page that came back is not told; run as root"
                .to_owned(),
        ),
        Claim::Precision if is_too_unclear(demands, counts) => Some(format!(
            "{} that moved {} neither clearly hot nor clearly cold; observe for longer before pages move, or \
             more often, or allow it with --maximum-unclear",
            words::count(counts.unclear_pages_moved, "page", "pages"),
            if counts.unclear_pages_moved == 1 {
                "was"
            } else {
                "were"
            },
        )),
        Claim::Content => witnesses
            .iter()
            .filter_map(told)
            .find_map(|state| content::missing(state, evidence.ledger.as_ref()))
            .or_else(|| no_truth(witnesses)),
        _ => no_truth(witnesses),
    }
}

/// No witness says what its pages must hold.
fn nothing_is_told(witnesses: &[Witness]) -> bool {
    !witnesses.is_empty() && witnesses.iter().all(|witness| witness.truth.is_observed())
}

fn no_truth(witnesses: &[Witness]) -> Option<String> {
    let is_missing = witnesses.is_empty();
    is_missing.then(|| "no truth is known of any page".to_owned())
}

/// What a workload says of itself.
fn told(witness: &Witness) -> Option<&State> {
    match &witness.truth {
        Truth::Told(state) => Some(state),
        Truth::Observed(_) => None,
    }
}

/// Whether too many of the moved pages are of unknown warmth.
fn is_too_unclear(demands: &Demands, counts: &Counts) -> bool {
    let unclear = counts.unclear_pages_moved;
    let moved = counts.moved_pages.saturating_add(unclear);
    unclear > 0 && ratio(unclear, moved) > demands.maximum_unclear
}

fn overall(claims: &[Judgement]) -> Outcome {
    let any = |outcome| claims.iter().any(|judgement| judgement.outcome == outcome);
    if any(Outcome::Fail) {
        Outcome::Fail
    } else if any(Outcome::Unproved) {
        Outcome::Unproved
    } else {
        Outcome::Pass
    }
}

#[expect(clippy::cast_precision_loss)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
