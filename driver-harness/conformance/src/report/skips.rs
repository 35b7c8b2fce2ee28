// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Skipped cases by reason.

use serde::Serialize;

use crate::judge::Verdict;
use crate::run::CaseResult;

/// A reason and the cases that were skipped for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkipReason<'a> {
    /// The reason, as the first of the cases gives it.
    pub reason: &'a str,
    /// What a user does to have them run; none where the device is as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlocked_by: Option<&'static str>,
    /// The cases.
    pub cases: Vec<&'static str>,
}

/// The reasons, most cases first. Those that differ in numbers only are one.
pub fn skip_reasons(results: &[CaseResult]) -> Vec<SkipReason<'_>> {
    let mut reasons: Vec<SkipReason<'_>> = Vec::new();
    for result in results {
        let Verdict::Skipped(skip) = &result.verdict else {
            continue;
        };
        let same = |known: &&mut SkipReason<'_>| {
            without_numbers(known.reason) == without_numbers(&skip.reason)
        };
        match reasons.iter_mut().find(same) {
            Some(known) => known.cases.push(result.case),
            None => reasons.push(SkipReason {
                reason: &skip.reason,
                unlocked_by: skip.unlocked_by,
                cases: vec![result.case],
            }),
        }
    }
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.cases.len()));
    reasons
}

fn without_numbers(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_ascii_digit())
        .collect()
}
