// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Results as one JSON object.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Ending, InstanceResults, RunDescription, SkipReason, Totals, causes, profile, skip_reasons,
};
use crate::catalogue::{Agreement, Catalogue, Level};
use crate::judge::Verdict;
use crate::outcome::{Mismatch, Mismatches};
use crate::run::CaseResult;

/// Grows with each change that a reader of an earlier report would stumble over.
const SCHEMA_VERSION: u32 = 3;

/// Results of a run.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    schema_version: u32,
    facts: BTreeMap<&'a str, &'a str>,
    /// All cases that were to run have run.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// None when not all cases ran: what did might read as a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<Totals>,
    seconds: f64,
    instances: Vec<InstanceReport<'a>>,
}

#[derive(Debug, Serialize)]
struct InstanceReport<'a> {
    instance: String,
    cases_planned: usize,
    /// None when not all of them ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<Totals>,
    causes: Vec<CauseReport<'a>>,
    skips: Vec<SkipReason<'a>>,
    profile: BTreeMap<&'static str, &'a str>,
    cases: Vec<CaseReport<'a>>,
}

#[derive(Debug, Serialize)]
struct CauseReport<'a> {
    case: &'static str,
    requirements: &'a [String],
    mismatch: MismatchReport<'a>,
    may_follow: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct MismatchReport<'a> {
    what: &'a str,
    read: &'a str,
    expected: &'a str,
}

#[derive(Debug, Serialize)]
struct RequirementReport<'a> {
    id: &'a str,
    level: Level,
    status: Agreement,
    statement: &'a str,
}

#[derive(Debug, Serialize)]
struct CaseReport<'a> {
    case: &'static str,
    requirements: Vec<RequirementReport<'a>>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mismatches: Vec<MismatchReport<'a>>,
    /// How many there are beside these.
    #[serde(skip_serializing_if = "is_zero")]
    more_mismatches: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<String>,
    seconds: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl<'a> Report<'a> {
    /// Collects results.
    pub fn new(
        description: &'a RunDescription,
        catalogue: &'a Catalogue,
        instances: &'a [InstanceResults],
        ending: &Ending,
    ) -> Self {
        let all = || instances.iter().flat_map(|one| &one.results);
        let facts = description.facts.iter();
        Self {
            schema_version: SCHEMA_VERSION,
            facts: facts.map(|(name, value)| (&**name, &**value)).collect(),
            complete: ending.early.is_none(),
            problem: ending.problem(),
            totals: ending.early.is_none().then(|| Totals::of(all())),
            // Of none the sum is -0.
            seconds: all().fold(0.0, |sum, result| sum + result.seconds),
            instances: instances
                .iter()
                .map(|one| InstanceReport::new(description, catalogue, one))
                .collect(),
        }
    }
}

impl<'a> InstanceReport<'a> {
    fn new(
        description: &RunDescription,
        catalogue: &'a Catalogue,
        results: &'a InstanceResults,
    ) -> Self {
        let causes = causes(&results.results)
            .into_iter()
            .map(|cause| CauseReport {
                case: cause.first.case,
                requirements: &cause.first.requirements,
                mismatch: MismatchReport::new(cause.found.first()),
                may_follow: cause.followers.iter().map(|one| one.case).collect(),
            });
        let cases = results.results.iter().map(|result| {
            let again = description.repeat(results.instance, result.case);
            CaseReport::new(result, catalogue, again)
        });
        Self {
            instance: results.name(),
            cases_planned: description.planned,
            totals: (results.results.len() >= description.planned)
                .then(|| Totals::of(&results.results)),
            causes: causes.collect(),
            skips: skip_reasons(&results.results),
            profile: profile(&results.results).collect(),
            cases: cases.collect(),
        }
    }
}

impl<'a> MismatchReport<'a> {
    fn new(mismatch: &'a Mismatch) -> Self {
        Self {
            what: &mismatch.what,
            read: &mismatch.read,
            expected: &mismatch.expected,
        }
    }

    fn all(found: &'a Mismatches) -> Vec<Self> {
        found.iter().map(Self::new).collect()
    }
}

impl<'a> CaseReport<'a> {
    fn new(result: &'a CaseResult, catalogue: &'a Catalogue, again: String) -> Self {
        let requirements = result.requirements.iter();
        let requirements = requirements.filter_map(|id| catalogue.find(id));
        let mut report = Self {
            case: result.case,
            requirements: requirements
                .map(|one| RequirementReport {
                    id: &one.id,
                    level: one.level,
                    status: one.status,
                    statement: &one.statement,
                })
                .collect(),
            verdict: "",
            reading: None,
            reason: None,
            mismatches: Vec::new(),
            more_mismatches: 0,
            again: result.verdict.is_failure().then_some(again),
            seconds: result.seconds,
        };
        match &result.verdict {
            Verdict::Passed { reading } => {
                report.verdict = "pass";
                report.reading = reading.as_deref();
            }
            Verdict::Skipped(skip) => {
                report.verdict = "skip";
                report.reason = Some(&skip.reason);
            }
            Verdict::Broken(reason) => {
                report.verdict = "not-judged";
                report.reason = Some(reason);
            }
            Verdict::Differs(found) => {
                report.verdict = "differs";
                report.mismatches = MismatchReport::all(found);
                report.more_mismatches = found.more();
            }
            Verdict::Failed(found) => {
                report.verdict = "fail";
                report.mismatches = MismatchReport::all(found);
                report.more_mismatches = found.more();
            }
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{description, two_instances};
    use super::*;

    #[test]
    fn a_program_finds_verdict_and_reason() {
        let (description, instances) = (description(), two_instances());
        let catalogue = Catalogue::load().unwrap();
        let ending = Ending::default();
        let report = Report::new(&description, &catalogue, &instances, &ending);
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(json["schema_version"], 3);
        assert_eq!(json["complete"], true);
        assert_eq!(json["facts"]["device"], "0000:35:00.0");
        assert_eq!(json["totals"]["failed"], 2);
        assert_eq!(json["totals"]["unjudged"], 2);
        let second = &json["instances"][1];
        assert_eq!(second["instance"], "1.3");
        assert_eq!(second["totals"]["failed"], 1);
        assert_eq!(second["profile"]["a/two"], "count >= threshold");
        assert_eq!(second["skips"][0]["unlocked_by"], "another device");
        assert_eq!(second["causes"][0]["case"], "c/one");
        let verdicts: Vec<_> = second["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|case| case["verdict"].as_str().unwrap())
            .collect();
        assert_eq!(
            verdicts,
            ["pass", "pass", "differs", "skip", "fail", "not-judged"]
        );
        let failed = &second["cases"][4];
        assert_eq!(failed["mismatches"][0]["expected"], "0");
        assert_eq!(failed["requirements"][0]["level"], "must");
        assert!(
            failed["again"]
                .as_str()
                .unwrap()
                .ends_with("--instance 1.3 c/one")
        );
        assert!(second["cases"][0].get("reason").is_none());
    }

    #[test]
    fn a_run_that_did_not_begin_is_a_report_too() {
        let (description, catalogue) = (description(), Catalogue::load().unwrap());
        let ending = Ending {
            early: Some("Cannot connect".into()),
            left: None,
        };
        let report = Report::new(&description, &catalogue, &[], &ending);
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(
            (&json["complete"], &json["problem"]),
            (&false.into(), &"Cannot connect".into())
        );
        assert!(json.get("totals").is_none(), "{json}");
        // One that ended in the middle has none that read as a success either.
        let (mut description, instances) = (description, two_instances());
        description.planned += 1;
        let report = Report::new(&description, &catalogue, &instances, &ending);
        let json = serde_json::to_value(report).unwrap();
        assert!(json.get("totals").is_none(), "{json}");
        assert!(json["instances"][1].get("totals").is_none(), "{json}");
    }
}
