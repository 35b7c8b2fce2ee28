// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a proof found, claim by claim, and the reasons for it page by page.

use std::collections::BTreeMap;

use chmu_machine::node::NodeId;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

mod reason;
mod text;

pub use reason::{Claim, Reason};

/// So many examples are kept for each reason.
pub const EXAMPLES_MAX: usize = 16;

/// The outcome of a claim, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// What it takes to tell is missing.
    Unproved,
    /// Nobody claims it: there is no truth that it could be held against.
    #[serde(rename = "not_claimed")]
    NotClaimed,
}

/// A claim and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// What was claimed.
    pub claim: Claim,
    /// What became of it.
    pub outcome: Outcome,
    /// What is missing to prove it, or to claim it; none where nothing is.
    #[serde(deserialize_with = "Option::deserialize")]
    pub missing: Option<String>,
}

/// Why a claim fails: a reason, how often it was found, and the first places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The reason.
    pub reason: Reason,
    /// The claim that it breaks.
    pub claim: Claim,
    /// How many pages, lines or words it was found at.
    pub count: u64,
    /// The first of them, at most 16.
    pub examples: Vec<Example>,
}

/// One place at which a reason was found; what does not apply is null.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Example {
    /// The workload's process.
    #[serde(deserialize_with = "Option::deserialize")]
    pub process_id: Option<u32>,
    /// The page's number in it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub page: Option<u64>,
    /// The page's address in it, where pages have no numbers.
    #[serde(deserialize_with = "Option::deserialize")]
    pub address: Option<u64>,
    /// The frame that it started in, or that a line of the ledger names.
    #[serde(deserialize_with = "Option::deserialize")]
    pub frame: Option<u64>,
    /// Line of the ledger, from 1.
    #[serde(deserialize_with = "Option::deserialize")]
    pub line: Option<u64>,
    /// The rest, in a sentence.
    pub detail: String,
}

/// Everything that a proof found. Pages are counted once each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Pass only when every claim passes that is claimed.
    pub verdict: Outcome,
    /// All claims.
    pub claims: Vec<Judgement>,
    /// What failed and why, by claim.
    pub findings: Vec<Finding>,
    /// Where the truth comes from, in a sentence.
    pub truth: String,
    /// Counts of pages.
    #[serde(flatten)]
    pub counts: Counts,
    /// Counts of the ledger; none without one.
    #[serde(deserialize_with = "Option::deserialize")]
    pub ledger: Option<LedgerCounts>,
    /// The part of the promoted folios that was hot when it moved; none when none is promoted.
    #[serde(deserialize_with = "Option::deserialize")]
    pub precision: Option<f64>,
    /// The same for pages: a large folio takes its cold pages along.
    #[serde(deserialize_with = "Option::deserialize")]
    pub page_precision: Option<f64>,
    /// The part of the hot pages that is promoted; none when none is hot.
    #[serde(deserialize_with = "Option::deserialize")]
    pub recall: Option<f64>,
}

/// Pages of the workloads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub pages: u64,
    /// Hot ones, by the workloads' own truth or by what a device counted, now.
    pub true_hot_pages: u64,
    /// Of these, those that are promoted.
    pub promoted_hot_pages: u64,
    /// Pages that are neither clearly hot nor clearly cold by what a device counted.
    pub unclear_pages: u64,
    /// Those of them that were moved; they speak neither for nor against it.
    pub unclear_pages_moved: u64,
    /// Pages that were moved, but for those; whether they came back or not.
    pub moved_pages: u64,
    /// Pages that are on another node than they started on.
    pub promoted_pages: u64,
    /// Folios that these were part of at the start.
    pub promoted_folios: u64,
    /// Pages that were moved, and were not hot at any time until then, whether they came back or not.
    pub wrong_pages_promoted: u64,
    /// Cold pages that a large folio with a hot page took along.
    pub pages_taken_along: u64,
    /// Pages that had been hot, but no longer were when they moved.
    pub stale_pages: u64,
    /// Pages that became hot only after they had moved.
    pub premature_pages: u64,
    /// Pages that were promoted and are back on the node that they started on.
    pub returned_pages: u64,
    /// Pages that the engine demoted to make room.
    pub demoted_pages: u64,
    /// Pages that are nowhere in memory.
    pub absent_pages: u64,
    /// Promoted pages that are on no target.
    pub pages_on_wrong_node: u64,
    /// Pages by the node that they are on.
    #[serde(deserialize_with = "by_node")]
    pub pages_by_node: BTreeMap<NodeId, u64>,
    /// Words that workloads looked at when they accessed them.
    pub words_checked: u64,
    /// Pages that were read as a whole to see whether each word is right.
    pub pages_verified: u64,
}

/// What the ledger says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LedgerCounts {
    /// Units that sources reported.
    pub units_reported: u64,
    /// Pages that these mean.
    pub pages_reported: u64,
    /// Batches.
    pub batches: u64,
    /// Folios that moved.
    pub folios_moved: u64,
    /// Pages of these.
    pub pages_moved: u64,
    /// Pages among these of which no truth is known.
    pub foreign_pages_moved: u64,
    /// Pages of the largest folio that moved; 0 when none did.
    pub largest_folio_pages: u64,
}

/// Keys of a JSON object are strings.
fn by_node<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<NodeId, u64>, D::Error> {
    let by_name = BTreeMap::<String, u64>::deserialize(deserializer)?;
    let node = |(name, pages): (String, u64)| Ok((NodeId(name.parse()?), pages));
    let by_node = by_name
        .into_iter()
        .map(node)
        .collect::<Result<_, std::num::ParseIntError>>();
    by_node.map_err(D::Error::custom)
}

impl Verdict {
    /// The finding of a reason, if there is one.
    pub fn finding(&self, reason: Reason) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.reason == reason)
    }

    /// What became of a claim.
    pub fn outcome(&self, claim: Claim) -> Outcome {
        let judgement = self
            .claims
            .iter()
            .find(|judgement| judgement.claim == claim);
        judgement.map_or(Outcome::Unproved, |judgement| judgement.outcome)
    }
}
