// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Failures by their causes: what fails first, and what may fail only because of it.

use crate::case::area;
use crate::judge::Verdict;
use crate::outcome::Mismatches;
use crate::run::CaseResult;

/// A failure and those that may follow from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause<'a> {
    /// The first failing case.
    pub first: &'a CaseResult,
    /// What it found.
    pub found: &'a Mismatches,
    /// Failing cases that may pass once the first does.
    pub followers: Vec<&'a CaseResult>,
}

/// The failures of an instance by cause: first those that others need, then in the order in which cases ran.
///
/// One may follow from another if both check the same requirement, if both saw the same, or if the other is about
/// what it needs before it can see anything.
pub fn causes(results: &[CaseResult]) -> Vec<Cause<'_>> {
    let mut failures: Vec<_> = results
        .iter()
        .filter_map(|result| match &result.verdict {
            Verdict::Failed(found) => Some((result, found)),
            _ => None,
        })
        .collect();
    failures.sort_by_key(|(result, _)| need(result.case));
    let mut causes: Vec<Cause<'_>> = Vec::new();
    for (result, found) in failures {
        let earlier = causes
            .iter_mut()
            .find(|cause| explains(cause, result, found));
        match earlier {
            Some(cause) => cause.followers.push(result),
            None => causes.push(Cause {
                first: result,
                found,
                followers: Vec::new(),
            }),
        }
    }
    causes
}

fn explains(cause: &Cause<'_>, later: &CaseResult, found: &Mismatches) -> bool {
    let requirements = &cause.first.requirements;
    let shares = |id| requirements.contains(id);
    let looks_alike = || {
        cause.found.iter().any(|one| {
            found
                .iter()
                .any(|two| symptom(&one.what) == symptom(&two.what) && one.expected == two.expected)
        })
    };
    later.requirements.iter().any(shares)
        || looks_alike()
        || is_needed(cause.first.case, later.case)
}

/// What was looked at, whatever the numbers.
fn symptom(what: &str) -> String {
    what.chars()
        .filter(|letter| !letter.is_ascii_digit())
        .collect()
}

/// Cases about what others need before they see anything, what is needed most first, and the areas of these others.
/// Which they are was found by breaking one rule of a device after the other and looking at what else failed.
const NEEDS: &[(&str, &[&str])] = &[
    ("discovery/instances-answer", EVERYTHING),
    ("capability/epoch-codes", EVERYTHING),
    ("capability/no-overlap", EVERYTHING),
    ("reset/decoders-stay", EVERYTHING),
    ("operation/enable", EVERYTHING),
    ("operation/disable", EVERYTHING),
    ("operation/reset-ends", EVERYTHING),
    ("register/ranges-readback", TRAFFIC),
    ("configuration/every-unit-size", TRAFFIC),
    ("counter/width", TRAFFIC),
    ("register/head-widths", TRAFFIC),
    ("operation/disabled-counts-nothing", TRAFFIC),
    ("epoch/hot-unit-reported", TRAFFIC),
    ("always-on/reported-at-threshold", TRAFFIC),
    ("epoch/not-before-its-end", TRAFFIC),
    ("epoch/once-per-epoch", TRAFFIC),
    ("epoch/length", TRAFFIC),
    ("hotlist/head-frees-entries", TRAFFIC),
    ("counter/exact-count", TRAFFIC),
    ("counter/unit-id", TRAFFIC),
    ("hotlist/no-duplicates", TRAFFIC),
    ("hotlist/holds-size-less-one", LISTS),
    ("hotlist/wraps", LISTS),
    ("hotlist/full-list-keeps-entries", LISTS),
    ("operation/reset-empties-list", LISTS),
    ("status/overflow-on-loss", LISTS),
    ("status/fill-level-above", LISTS),
    ("interrupt/not-enabled", &["interrupt", "order"]),
    ("interrupt/overflow", &["interrupt", "order"]),
    ("interrupt/fill-level", &["interrupt", "order"]),
    ("epoch/counters-cleared", TRAFFIC),
    (
        "threshold/one-below",
        &["operation", "epoch", "always-on", "instance", "stress"],
    ),
    ("always-on/counter-freed", &["always-on", "stress"]),
    ("sampling/one-of-many", &["sampling"]),
    ("range/clear-bit", &["range"]),
    ("filter/reads-counted", &["filter"]),
    (
        "filter/writes-not-counted-as-reads",
        &["filter", "sampling"],
    ),
    ("status/overflow-clears", &["status", "interrupt"]),
    ("status/clear-one-keeps-other", &["status", "interrupt"]),
];

/// Areas whose cases look at lists that are filled and drained.
const LISTS: &[&str] = &[
    "epoch",
    "always-on",
    "hotlist",
    "status",
    "interrupt",
    "order",
    "stress",
    "operation",
];

/// Areas whose cases make units hot.
const TRAFFIC: &[&str] = &[
    "configuration",
    "operation",
    "epoch",
    "always-on",
    "threshold",
    "counter",
    "sampling",
    "filter",
    "range",
    "hotlist",
    "status",
    "interrupt",
    "instance",
    "address",
    "order",
    "reset",
    "stress",
];

/// Areas whose cases look at what an instance says, or enable it.
const EVERYTHING: &[&str] = &[
    "capability",
    "register",
    "configuration",
    "operation",
    "epoch",
    "always-on",
    "threshold",
    "counter",
    "sampling",
    "filter",
    "range",
    "hotlist",
    "status",
    "interrupt",
    "instance",
    "address",
    "order",
    "reset",
    "stress",
];

/// How much a case is needed by others, from 0; those that no other needs come last.
fn need(case: &str) -> usize {
    let place = NEEDS.iter().position(|(needed, _)| *needed == case);
    place.unwrap_or(NEEDS.len())
}

/// Whether a later case can only pass where the other one does.
fn is_needed(needed: &str, later: &str) -> bool {
    NEEDS
        .iter()
        .any(|(case, areas)| *case == needed && areas.contains(&area(later)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::outcome::Mismatch;

    fn failed(case: &'static str, requirement: &str, what: &str) -> CaseResult {
        let mismatch = Mismatch {
            what: what.into(),
            read: "1".into(),
            expected: "0".into(),
        };
        CaseResult {
            case,
            requirements: vec![requirement.into()],
            verdict: Verdict::Failed(mismatch.into()),
            seconds: 0.0,
            accesses: None,
        }
    }

    fn grouped(results: &[CaseResult]) -> Vec<Vec<&str>> {
        causes(results)
            .iter()
            .map(|cause| {
                let followers = cause.followers.iter().map(|one| one.case);
                std::iter::once(cause.first.case).chain(followers).collect()
            })
            .collect()
    }

    #[test]
    fn what_others_need_comes_first_and_the_rest_stands_alone() {
        let results = [
            failed("discovery/header-reserved", "A", "reserved bits"),
            failed(
                "configuration/recovers-from-refusal",
                "B",
                "whether it is listed",
            ),
            failed("epoch/hot-unit-reported", "C", "units reported"),
            failed("hotlist/wraps", "D", "units listed"),
            failed("register/status-reserved", "E", "status"),
        ];
        assert_eq!(
            grouped(&results),
            [
                &[
                    "epoch/hot-unit-reported",
                    "hotlist/wraps",
                    "configuration/recovers-from-refusal"
                ][..],
                &["discovery/header-reserved"],
                &["register/status-reserved"],
            ]
        );
    }

    #[test]
    fn one_requirement_and_one_symptom_are_one_cause() {
        let results = [
            failed("a/one", "A", "word 1 of the bitmap"),
            failed("b/one", "B", "word 12 of the bitmap"),
            failed("c/one", "A", "something else"),
            failed("d/one", "D", "another thing"),
        ];
        assert_eq!(
            grouped(&results),
            [&["a/one", "b/one", "c/one"][..], &["d/one"]]
        );
    }

    #[test]
    fn what_others_need_are_cases_and_areas_that_exist() {
        let all = cases::all();
        for (needed, areas) in NEEDS {
            assert!(all.iter().any(|case| case.name == *needed), "{needed}");
            for name in *areas {
                assert!(all.iter().any(|case| case.area() == *name), "{name}");
            }
        }
    }
}
