// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Failures by their causes: what fails first, and what may fail only because of it.

use crate::case::area;
use crate::judge::Verdict;
use crate::outcome::{Mismatch, Mismatches};
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
///
/// That a hot unit is not listed is weak evidence, as nearly every broken rule can be why. Where a case about one rule
/// saw what the device does in place of it, that rule is the cause.
pub fn causes(results: &[CaseResult]) -> Vec<Cause<'_>> {
    let mut failures: Vec<_> = results
        .iter()
        .filter_map(|result| match &result.verdict {
            Verdict::Failed(found) => Some((result, found)),
            _ => None,
        })
        .collect();
    let culprit = culprit(results);
    failures.sort_by_key(|(result, _)| match culprit {
        Some((culprit, silent)) if culprit == result.case => (need(silent), 0),
        _ => (need(result.case), 1),
    });
    let is_culprit = |cause: &Cause<'_>| culprit.is_some_and(|(case, _)| case == cause.first.case);
    let mut causes: Vec<Cause<'_>> = Vec::new();
    for (result, found) in failures {
        let earlier = causes.iter_mut().find(|cause| {
            explains(cause, result, found)
                || is_culprit(cause) && Followers::Traffic.include(result.case)
        });
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

/// Cases that see a hot unit listed; the first that an instance can run tells whether it lists any as it should.
const LISTED_AT_ALL: [&str; 2] = ["epoch/hot-unit-reported", "always-on/reported-at-threshold"];

/// A rule that can be why hot units are not listed as they should be.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    /// The case about the rule.
    case: &'static str,
    /// The case that saw something, if the rule is why.
    witness: &'static str,
}

const fn suspect(case: &'static str) -> Suspect {
    Suspect {
        case,
        witness: case,
    }
}

/// These rules, the most telling first: with a wrong unit in an entry, nobody can tell which range it was in.
const SUSPECTS: &[Suspect] = &[
    suspect("counter/unit-id"),
    suspect("range/clear-bit"),
    suspect("range/border"),
    suspect("sampling/one-of-many"),
    suspect("sampling/factor-one"),
    suspect("epoch/change-of-length"),
    Suspect {
        case: "epoch/length",
        // What is accessed in two epochs is counted together.
        witness: "epoch/cold-unit-forgotten",
    },
    suspect("epoch/per-counter-end"),
];

/// The failing case about the rule that is why hot units are not listed, and the case that did not see them.
fn culprit(results: &[CaseResult]) -> Option<(&'static str, &'static str)> {
    let find = |case: &str| results.iter().find(|result| result.case == case);
    let judged = LISTED_AT_ALL.into_iter().filter_map(find);
    let silent = judged
        .filter(|result| !matches!(result.verdict, Verdict::Skipped(_)))
        .take(1)
        .find(|result| matches!(result.verdict, Verdict::Failed(_)))?;
    let saw_something = |case: &str| match find(case).map(|result| &result.verdict) {
        Some(Verdict::Failed(found)) => found.iter().any(Mismatch::is_of_something),
        _ => false,
    };
    let has_failed =
        |case: &str| find(case).is_some_and(|result| matches!(result.verdict, Verdict::Failed(_)));
    let mut suspects = SUSPECTS.iter();
    suspects
        .find(|suspect| has_failed(suspect.case) && saw_something(suspect.witness))
        .map(|suspect| (suspect.case, silent.case))
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
    (
        "discovery/locator-present",
        Followers::Areas(&["discovery"]),
    ),
    // A block that is listed twice is there twice.
    ("discovery/entries-distinct", Followers::Everything),
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
    ("counter/width-follows-unit-size", Followers::Traffic),
    ("counter/width-of-full-list", Followers::Traffic),
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
    (
        "counter/saturation",
        Followers::Cases(&["threshold/high-above"]),
    ),
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

    fn failed(case: &'static str, requirement: &str, what: &str) -> CaseResult {
        failed_by(case, requirement, what, "1")
    }

    fn failed_by(case: &'static str, requirement: &str, what: &str, read: &str) -> CaseResult {
        let mismatch = Mismatch {
            what: what.into(),
            read: read.into(),
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

    /// Who sees no unit at all can be wrong about each rule; who sees another unit is wrong about one.
    #[test]
    fn what_was_seen_is_blamed_and_not_that_nothing_was() {
        let silent = failed_by("epoch/hot-unit-reported", "A", "units reported", "nothing");
        let unit = |read| failed_by("counter/unit-id", "B", "units listed", read);
        let range = failed_by("range/clear-bit", "C", "units of a clear range", "unit 0x1");
        let apart = failed("register/status-reserved", "D", "status");
        let results = [
            silent.clone(),
            unit("nothing"),
            range.clone(),
            apart.clone(),
        ];
        assert_eq!(
            grouped(&results),
            [
                &[
                    "range/clear-bit",
                    "epoch/hot-unit-reported",
                    "counter/unit-id"
                ][..],
                &["register/status-reserved"],
            ]
        );
        let results = [silent.clone(), range.clone(), unit("unit 0x1")];
        assert_eq!(grouped(&results)[0][0], "counter/unit-id");
        // Whose epochs are too long adds up what belongs to two.
        let late = [
            silent.clone(),
            failed_by("epoch/length", "E", "whether it is listed", "no"),
            failed_by("epoch/cold-unit-forgotten", "F", "entries", "1"),
        ];
        assert_eq!(grouped(&late)[0][0], "epoch/length");
        let results = [silent, unit("nothing"), apart];
        assert_eq!(grouped(&results)[0][0], "epoch/hot-unit-reported");
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
        let suspects = SUSPECTS.iter().flat_map(|one| [one.case, one.witness]);
        for name in suspects.chain(LISTED_AT_ALL) {
            assert!(all.iter().any(|case| case.name == name), "{name}");
        }
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
