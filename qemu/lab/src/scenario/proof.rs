// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a proof found, in sentences for a result.

use chmu_machine::words;
use chmu_proof::verdict::Verdict;
use chmu_proof::{Claim, Outcome};

/// Why the proof is no pass: what it found, and which of the claims that were to be proved it could not.
pub(super) fn reasons(proof: &Verdict, claims: &[Claim]) -> Vec<String> {
    let found = proof.findings.iter().map(|finding| {
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
