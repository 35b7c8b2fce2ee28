// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Results as `JUnit` XML.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{InstanceResults, RunDescription};
use crate::judge::Verdict;
use crate::run::CaseResult;

/// The XML text; each area of each instance is a suite.
///
/// # Errors
/// When a text cannot be written as XML.
pub fn to_xml(
    description: &RunDescription,
    instances: &[InstanceResults],
) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("chmu conformance");
    for instance in instances {
        let name = instance.name();
        let same_area = |one: &CaseResult, two: &CaseResult| area(one.case) == area(two.case);
        for results in instance.results.chunk_by(same_area) {
            let area = results.first().map_or("", |result| area(result.case));
            let mut suite = TestSuite::new(format!("{area} {name}"));
            suite.add_property(("device", description.device.as_str()));
            suite.add_property(("transport", description.path));
            suite.add_property(("instance", name.as_str()));
            let test_cases = results.iter().map(|result| {
                let repeat = description.repeat(instance.instance, result.case);
                test_case(result, &repeat)
            });
            suite.add_test_cases(test_cases);
            report.add_test_suite(suite);
        }
    }
    report.to_string()
}

fn area(case: &str) -> &str {
    case.split_once('/').map_or(case, |(area, _)| area)
}

fn test_case(result: &CaseResult, repeat: &str) -> TestCase {
    let again = format!("again: {repeat}");
    let mut status = match &result.verdict {
        Verdict::Passed { .. } | Verdict::Differs(_) => TestCaseStatus::success(),
        Verdict::Skipped(_) => TestCaseStatus::skipped(),
        Verdict::Failed(_) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Broken(_) => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    match &result.verdict {
        Verdict::Skipped(skip) => {
            status.set_message(skip.reason.as_str());
        }
        Verdict::Failed(mismatch) => {
            status
                .set_message(mismatch.to_string())
                .set_description(again);
        }
        Verdict::Broken(reason) => {
            status.set_message(reason.as_str()).set_description(again);
        }
        Verdict::Passed { .. } | Verdict::Differs(_) => {}
    }
    let mut test_case = TestCase::new(result.case, status);
    test_case.set_time(Duration::from_secs_f64(result.seconds));
    for requirement in &result.requirements {
        test_case.add_property(("requirement", requirement.as_str()));
    }
    if let Verdict::Passed {
        reading: Some(reading),
    } = &result.verdict
    {
        test_case.add_property(("reading", reading.as_str()));
    }
    test_case
}

#[cfg(test)]
mod tests {
    use super::super::tests::{description, two_instances};
    use super::*;

    #[test]
    fn other_programs_read_the_counts() {
        let xml = to_xml(&description(), &two_instances()).unwrap();
        let report = Report::deserialize_from_str(&xml).unwrap();
        assert_eq!(report.test_suites.len(), 6);
        assert_eq!(report.tests, 12);
        assert_eq!((report.failures, report.errors), (2, 2));
        let again = "again: chmu conformance run --transport guest --instance 1.3 c/one";
        assert!(xml.contains(again), "{xml}");
    }
}
