// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Results as one JSON object.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{InstanceResults, RunDescription, Totals, profile};
use crate::judge::Verdict;
use crate::run::CaseResult;

/// Results of a run.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    device: &'a str,
    transport: &'static str,
    totals: Totals,
    seconds: f64,
    instances: Vec<InstanceReport<'a>>,
}

#[derive(Debug, Serialize)]
struct InstanceReport<'a> {
    instance: String,
    totals: Totals,
    profile: BTreeMap<&'static str, &'a str>,
    cases: Vec<CaseReport<'a>>,
}

#[derive(Debug, Serialize)]
struct CaseReport<'a> {
    case: &'static str,
    requirements: &'a [String],
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    seconds: f64,
}

impl<'a> Report<'a> {
    /// Collects results.
    pub fn new(description: &'a RunDescription, instances: &'a [InstanceResults]) -> Self {
        let all = || instances.iter().flat_map(|one| &one.results);
        Self {
            device: &description.device,
            transport: description.path,
            totals: Totals::of(all()),
            seconds: all().map(|result| result.seconds).sum(),
            instances: instances.iter().map(InstanceReport::new).collect(),
        }
    }
}

impl<'a> InstanceReport<'a> {
    fn new(results: &'a InstanceResults) -> Self {
        Self {
            instance: results.name(),
            totals: Totals::of(&results.results),
            profile: profile(&results.results).collect(),
            cases: results.results.iter().map(CaseReport::new).collect(),
        }
    }
}

impl<'a> CaseReport<'a> {
    fn new(result: &'a CaseResult) -> Self {
        let mut report = Self {
            case: result.case,
            requirements: &result.requirements,
            verdict: "",
            reading: None,
            reason: None,
            what: None,
            read: None,
            expected: None,
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
                report.verdict = "broken";
                report.reason = Some(reason);
            }
            Verdict::Differs(found) | Verdict::Failed(found) => {
                let mismatch = found.first();
                report.verdict = match result.verdict.is_failure() {
                    true => "fail",
                    false => "differs",
                };
                report.what = Some(&mismatch.what);
                report.read = Some(&mismatch.read);
                report.expected = Some(&mismatch.expected);
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
        let json = serde_json::to_value(Report::new(&description, &instances)).unwrap();
        assert_eq!(json["totals"]["failed"], 4);
        let second = &json["instances"][1];
        assert_eq!(second["instance"], "1.3");
        assert_eq!(second["totals"]["failed"], 2);
        assert_eq!(second["profile"]["a/two"], "count >= threshold");
        let verdicts: Vec<_> = second["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|case| case["verdict"].as_str().unwrap())
            .collect();
        assert_eq!(
            verdicts,
            ["pass", "pass", "differs", "skip", "fail", "broken"]
        );
        assert_eq!(second["cases"][4]["expected"], "0");
        assert!(second["cases"][0].get("reason").is_none());
    }
}
