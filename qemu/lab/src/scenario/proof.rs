// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What must be proved of the workloads' pages, and what the proof found, in sentences.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use chmu_machine::node::NodeId;
use chmu_machine::words;
use chmu_proof::verdict::Verdict;
use chmu_proof::{Claim, Outcome};

use super::bench::{Bench, PROGRAM_TIMEOUT, Promoted, Workload, parse};

/// What a workload may take to look at its pages where many do.
const TIME_PER_WORKLOAD: Duration = Duration::from_millis(600);
/// Of either kind, so that a guest hands them out at once.
const KEPT_LINES: u32 = 100;

/// What a promotion must have done. [`Demand::all`] is all there is; a scenario in which part of that
/// cannot be says so by the other fields.
#[derive(Debug, Clone)]
pub(super) struct Demand<'a> {
    /// What the workloads are called in figures and reasons.
    pub(super) what: &'a str,
    /// Whose pages these are. No other pages may have moved.
    pub(super) workloads: &'a [&'a Workload],
    pub(super) promoted: &'a Promoted,
    /// The nodes that pages may have gone to.
    pub(super) targets: &'a [u64],
    /// Options of `chmu prove` that ask for less, or for something else.
    pub(super) options: &'a str,
    /// Claims that cannot hold.
    pub(super) without: &'a [Claim],
}

impl<'a> Demand<'a> {
    /// Every claim of the proof.
    pub(super) fn all(
        what: &'a str,
        workloads: &'a [&'a Workload],
        promoted: &'a Promoted,
        targets: &'a [u64],
    ) -> Self {
        Self {
            what,
            workloads,
            promoted,
            targets,
            options: "",
            without: &[],
        }
    }

    fn claims(&self) -> Vec<Claim> {
        let claims = Claim::ALL.into_iter();
        claims
            .filter(|claim| !self.without.contains(claim))
            .collect()
    }
}

impl Bench<'_> {
    /// What `chmu prove` says of workloads that run, with these options.
    pub(super) fn prove(&mut self, workloads: &[&Workload], options: &str) -> Result<Verdict> {
        let states: String = workloads
            .iter()
            .map(|workload| format!("--state {} ", workload.state))
            .collect();
        let words = format!("chmu prove {states}-o json {options}");
        let words: Vec<_> = words.split_whitespace().collect();
        let timeout = PROGRAM_TIMEOUT + TIME_PER_WORKLOAD * u32::try_from(workloads.len())?;
        let output = self.machine.run(&words, timeout)?;
        parse("chmu prove", &output)
    }

    /// Every claim that is demanded must be proved, and each page be on a target or where it was.
    /// Returns the proof.
    pub(super) fn expect_proven(&mut self, demand: &Demand<'_>) -> Result<Verdict> {
        let what = demand.what;
        self.progress.step("Proving that the right pages moved");
        let options = format!(
            "--ledger {} --exclusive {}",
            demand.promoted.ledger, demand.options
        );
        let proof = self.prove(demand.workloads, &options)?;
        let reasons = reasons(&proof, &demand.claims());
        if !reasons.is_empty() {
            self.keep_ledger(demand)?;
        }
        let reasons = reasons.iter().map(|reason| format!("{what}: {reason}"));
        self.reasons.extend(reasons);
        let counts = &proof.counts;
        let mut nodes: Vec<_> = demand.workloads.iter().map(|it| it.node).collect();
        nodes.extend(demand.targets);
        self.expect_nodes(what, &counts.pages_by_node, &nodes);
        self.figure(&format!("{what} recall"), proof.recall);
        self.figure(&format!("{what} wrong pages"), counts.wrong_pages_promoted);
        self.figure(&format!("{what} pages by node"), &counts.pages_by_node);
        Ok(proof)
    }

    /// What a ledger says of settings, sources and the first decisions on each folio: its guest is gone by the time that
    /// somebody asks why a proof failed.
    fn keep_ledger(&mut self, demand: &Demand<'_>) -> Result<()> {
        let ledger = &demand.promoted.ledger;
        let kept = self.shell(&format!(
            "grep -E '\"e\":\"(begin|tuned|source|batch|refused|end)\"' {ledger} | tail -n {KEPT_LINES}; \
             grep '\"e\":\"seen\"' {ledger} | tail -n {KEPT_LINES}"
        ))?;
        let lines: Vec<_> = kept.lines().collect();
        self.figure(&format!("{} ledger", demand.what), lines);
        Ok(())
    }

    /// Of several workloads that were proved together: the pages of this one must be on these targets
    /// or where they were.
    pub(super) fn expect_placed(
        &mut self,
        what: &str,
        workload: &Workload,
        targets: &[u64],
    ) -> Result<()> {
        let proof = self.prove(&[workload], "--without-content")?;
        let pages_by_node = &proof.counts.pages_by_node;
        self.expect(proof.counts.promoted_hot_pages > 0, || {
            format!("{what}: no hot page is promoted")
        });
        let nodes: Vec<_> = targets.iter().copied().chain([workload.node]).collect();
        self.expect_nodes(what, pages_by_node, &nodes);
        self.figure(&format!("{what} pages by node"), pages_by_node);
        Ok(())
    }

    fn expect_nodes(&mut self, what: &str, pages: &BTreeMap<NodeId, u64>, nodes: &[u64]) {
        let mut found = pages.keys().map(|node| u64::from(node.0));
        self.expect(found.all(|node| nodes.contains(&node)), || {
            format!("{what}: not all pages are on nodes {nodes:?}: {pages:?}")
        });
    }
}

/// Why the proof is no pass of these claims: what was found against them, and which could not be
/// proved.
pub(super) fn reasons(proof: &Verdict, claims: &[Claim]) -> Vec<String> {
    let findings = proof.findings.iter();
    let found = findings.filter(|finding| claims.contains(&finding.claim));
    let found = found.map(|finding| {
        let (one, several) = finding.reason.text();
        let mut reason = words::count(finding.count, one, several);
        if let Some(example) = finding.examples.first() {
            reason += &format!(" ({example})");
        }
        reason
    });
    let unproved = claims
        .iter()
        .filter(|&&claim| proof.outcome(claim) == Outcome::Unproved);
    found
        .chain(unproved.map(|claim| format!("Unproved: {}", claim.text())))
        .collect()
}

#[cfg(test)]
mod tests {
    use chmu_proof::verdict::{Counts, Finding, Judgement, Reason};

    use super::*;

    /// A verdict in which one claim fails and one is unproved.
    fn verdict(fails: Reason, unproved: Claim) -> Verdict {
        let outcome = |claim| match claim {
            _ if claim == fails.claim() => Outcome::Fail,
            _ if claim == unproved => Outcome::Unproved,
            _ => Outcome::Pass,
        };
        let claims = Claim::ALL.map(|claim| Judgement {
            claim,
            outcome: outcome(claim),
            missing: None,
        });
        let finding = Finding {
            reason: fails,
            claim: fails.claim(),
            count: 2,
            examples: Vec::new(),
        };
        Verdict {
            verdict: Outcome::Fail,
            claims: claims.to_vec(),
            findings: vec![finding],
            truth: String::new(),
            counts: Counts::default(),
            ledger: None,
            precision: None,
            page_precision: None,
            recall: None,
        }
    }

    #[test]
    fn what_fails_and_what_is_unproved_are_reasons() {
        let verdict = verdict(Reason::MovedTwice, Claim::Rate);
        let all = reasons(&verdict, &Claim::ALL);
        assert_eq!(
            all,
            [
                "2 folios were moved twice for one report",
                "Unproved: the rate was kept"
            ]
        );
        let order = reasons(&verdict, &[Claim::Order, Claim::Content]);
        assert_eq!(order, &all[..1]);
        assert!(reasons(&verdict, &[Claim::Content]).is_empty());
        let nothing = Verdict {
            claims: Vec::new(),
            findings: Vec::new(),
            ..verdict
        };
        assert_eq!(reasons(&nothing, &Claim::ALL).len(), Claim::ALL.len());
    }
}
