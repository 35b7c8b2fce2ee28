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

/// What may fail because of something else.
#[derive(Debug, Clone, Copy)]
enum Followers {
    /// Cases that look at what an instance says, or enable it.
    Everything,
    /// Cases that make units hot.
    Traffic,
    /// Cases of these areas.
    Areas(&'static [&'static str]),
    /// These cases.
    Cases(&'static [&'static str]),
}

impl Followers {
    fn include(self, case: &str) -> bool {
        match self {
            Self::Everything => area(case) != "discovery",
            Self::Traffic => !matches!(area(case), "discovery" | "capability" | "register"),
            Self::Areas(areas) => areas.contains(&area(case)),
            Self::Cases(cases) => cases.contains(&case),
        }
    }
}

/// Cases about what others need before they see anything, what is needed most first, and these others.
/// Which they are was found by breaking one rule of a device after the other and looking at what else failed.
const NEEDS: &[(&str, Followers)] = &[
    ("discovery/instances-answer", Followers::Everything),
    ("capability/epoch-codes", Followers::Everything),
    ("capability/no-overlap", Followers::Everything),
    (
        "capability/down-sampling",
        Followers::Cases(&["configuration/refuses-down-sampling"]),
    ),
    ("reset/decoders-stay", Followers::Everything),
    ("operation/enable", Followers::Everything),
    (
        "capability/unit-sizes",
        Followers::Areas(&["configuration", "counter"]),
    ),
    ("configuration/every-unit-size", Followers::Traffic),
    ("configuration/epoch-limits", Followers::Areas(&["epoch"])),
    ("operation/disable", Followers::Everything),
    ("operation/reset-ends", Followers::Everything),
    ("register/ranges-readback", Followers::Traffic),
    ("counter/width", Followers::Traffic),
    ("register/head-widths", Followers::Traffic),
    ("operation/disabled-counts-nothing", Followers::Traffic),
    ("operation/enable-starts-fresh", Followers::Traffic),
    ("epoch/hot-unit-reported", Followers::Traffic),
    ("always-on/reported-at-threshold", Followers::Traffic),
    ("epoch/not-before-its-end", Followers::Traffic),
    ("epoch/length", Followers::Traffic),
    ("threshold/one-below", Followers::Traffic),
    ("epoch/per-counter-end", Followers::Traffic),
    ("epoch/once-per-epoch", Followers::Traffic),
    ("hotlist/head-frees-entries", Followers::Traffic),
    ("hotlist/no-duplicates", Followers::Traffic),
    ("counter/exact-count", Followers::Traffic),
    ("always-on/counter-freed", Followers::Traffic),
    ("counter/unit-id", Followers::Traffic),
    ("hotlist/holds-size-less-one", LISTS),
    ("hotlist/wraps", LISTS),
    ("hotlist/full-list-keeps-entries", LISTS),
    ("operation/reset-empties-list", LISTS),
    ("status/overflow-on-loss", LISTS),
    ("status/fill-level-above", LISTS),
    (
        "status/overflow-clears",
        Followers::Areas(&["status", "interrupt"]),
    ),
    (
        "status/clear-one-keeps-other",
        Followers::Areas(&["status", "interrupt"]),
    ),
    (
        "interrupt/not-enabled",
        Followers::Areas(&["interrupt", "order"]),
    ),
    // A rise after a clear interrupts too: what an earlier case cleared may be why the first one does not.
    (
        "interrupt/overflow-again",
        Followers::Areas(&["interrupt", "order"]),
    ),
    (
        "interrupt/fill-level-again",
        Followers::Areas(&["interrupt", "order"]),
    ),
    (
        "interrupt/overflow",
        Followers::Areas(&["interrupt", "order"]),
    ),
    (
        "interrupt/fill-level",
        Followers::Areas(&["interrupt", "order"]),
    ),
    ("epoch/counters-cleared", Followers::Traffic),
    ("hotlist/hottest-kept", Followers::Cases(&["hotlist/order"])),
    ("sampling/one-of-many", Followers::Areas(&["sampling"])),
    ("range/clear-bit", Followers::Areas(&["range"])),
    ("filter/reads-counted", Followers::Areas(&["filter"])),
    (
        "filter/writes-not-counted-as-reads",
        Followers::Areas(&["filter", "sampling"]),
    ),
];

/// Cases that look at lists that are filled and drained.
const LISTS: Followers = Followers::Areas(&[
    "epoch",
    "always-on",
    "hotlist",
    "status",
    "interrupt",
    "order",
    "stress",
    "operation",
]);

/// How much a case is needed by others, from 0; those that no other needs come last.
fn need(case: &str) -> usize {
    let place = NEEDS.iter().position(|(needed, _)| *needed == case);
    place.unwrap_or(NEEDS.len())
}

/// Whether a later case can only pass where the other one does.
fn is_needed(needed: &str, later: &str) -> bool {
    NEEDS
        .iter()
        .any(|(case, followers)| *case == needed && followers.include(later))
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
        for (needed, followers) in NEEDS {
            assert!(all.iter().any(|case| case.name == *needed), "{needed}");
            let (areas, names) = match followers {
                Followers::Areas(areas) => (*areas, &[][..]),
                Followers::Cases(cases) => (&[][..], *cases),
                Followers::Everything | Followers::Traffic => continue,
            };
            for name in areas {
                assert!(all.iter().any(|case| case.area() == *name), "{name}");
            }
            for name in names {
                assert!(all.iter().any(|case| case.name == *name), "{name}");
            }
        }
    }
}
