// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Results as `JUnit` XML.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Ending, InstanceResults, RunDescription};
use crate::case::area;
use crate::catalogue::Catalogue;
use crate::judge::Verdict;
use crate::outcome::{Mismatch, Mismatches};
use crate::run::CaseResult;

/// The name of the report, and of what stands for the run as a whole.
const NAME: &str = "chmu conformance";

/// The XML text; each area of each instance is a suite. A run that did not end as it should is a case with an error.
///
/// # Errors
/// When a text cannot be written as XML.
pub fn to_xml(
    description: &RunDescription,
    catalogue: &Catalogue,
    instances: &[InstanceResults],
    ending: &Ending,
) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new(NAME);
    let mut run = TestSuite::new(NAME);
    add_facts(&mut run, description, |_| true);
    if let Some(problem) = ending.problem() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(problem);
        let mut case = TestCase::new("run", status);
        case.set_classname("chmu");
        run.add_test_case(case);
    }
    report.add_test_suite(run);
    for instance in instances {
        let name = instance.name();
        let same_area = |one: &CaseResult, two: &CaseResult| area(one.case) == area(two.case);
        for results in instance.results.chunk_by(same_area) {
            let area = results.first().map_or("", |result| area(result.case));
            let mut suite = TestSuite::new(format!("{area} {name}"));
            // What other instances can do would be repeated for each of up to 255.
            let own = format!("instance {name} ");
            add_facts(&mut suite, description, |fact| {
                !fact.starts_with("instance ") || fact.starts_with(&own)
            });
            suite.add_property(("instance", name.as_str()));
            let test_cases = results.iter().map(|result| {
                let repeat = description.repeat(instance.instance, result.case);
                let mut case = test_case(result, catalogue, &repeat);
                case.set_classname(format!("chmu.{area}.{name}"));
                case
            });
            suite.add_test_cases(test_cases);
            report.add_test_suite(suite);
        }
    }
    report.to_string()
}

fn add_facts(
    suite: &mut TestSuite,
    description: &RunDescription,
    is_wanted: impl Fn(&str) -> bool,
) {
    for (name, value) in description.facts.iter().filter(|(name, _)| is_wanted(name)) {
        suite.add_property((name.as_str(), value.as_str()));
    }
}

/// What a case found, a line each, and how to see it again.
fn in_full(found: &Mismatches, again: &str) -> String {
    let mut lines: Vec<_> = found.iter().map(Mismatch::to_string).collect();
    if found.more() > 0 {
        lines.push(format!("and {} more", found.more()));
    }
    format!("{}\n{again}", lines.join("\n"))
}

fn test_case(result: &CaseResult, catalogue: &Catalogue, repeat: &str) -> TestCase {
    let again = format!("again: {repeat}");
    let mut status = match &result.verdict {
        Verdict::Passed { .. } | Verdict::Differs(_) => TestCaseStatus::success(),
        Verdict::Skipped(_) => TestCaseStatus::skipped(),
        Verdict::Failed(_) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Broken(_) => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    let first = result.requirements.first().map_or("", String::as_str);
    match &result.verdict {
        Verdict::Skipped(skip) => {
            status.set_message(match skip.unlocked_by {
                Some(unlocked_by) => format!("{}; unlocked by: {unlocked_by}", skip.reason),
                None => skip.reason.clone(),
            });
        }
        Verdict::Failed(found) => {
            status
                .set_message(found.to_string())
                .set_type(first)
                .set_description(in_full(found, &again));
        }
        Verdict::Broken(reason) => {
            status
                .set_message(format!("could not be judged: {reason}"))
                .set_description(again);
        }
        Verdict::Passed { .. } | Verdict::Differs(_) => {}
    }
    let mut test_case = TestCase::new(result.case, status);
    test_case.set_time(Duration::from_secs_f64(result.seconds));
    let requirements = result.requirements.iter();
    for requirement in requirements.filter_map(|id| catalogue.find(id)) {
        let (level, status) = (requirement.level, requirement.status.name());
        test_case.add_property(("requirement", requirement.id.as_str()));
        test_case.add_property(("weight", format!("{level} {status}").as_str()));
        test_case.add_property(("statement", requirement.statement.as_str()));
    }
    match &result.verdict {
        Verdict::Passed {
            reading: Some(reading),
        } => test_case.add_property(("reading", reading.as_str())),
        Verdict::Differs(found) => {
            test_case.add_property(("information", found.to_string().as_str()))
        }
        _ => &mut test_case,
    };
    test_case
}

#[cfg(test)]
mod tests {
    use super::super::tests::{description, two_instances};
    use super::*;

    #[test]
    fn other_programs_read_the_counts() {
        let catalogue = Catalogue::load().unwrap();
        let ending = Ending::default();
        let xml = to_xml(&description(), &catalogue, &two_instances(), &ending).unwrap();
        let report = Report::deserialize_from_str(&xml).unwrap();
        assert_eq!(report.test_suites.len(), 7);
        assert_eq!(report.tests, 12);
        assert_eq!((report.failures, report.errors), (2, 2));
        let again = "again: chmu conformance run --transport guest --instance 1.3 c/one";
        assert!(xml.contains(again), "{xml}");
        let last = report
            .test_suites
            .last()
            .unwrap()
            .test_cases
            .last()
            .unwrap();
        assert_eq!(last.classname.as_ref().unwrap().as_str(), "chmu.c.1.3");
        let property = |name: &str| {
            let mut all = last.properties.iter();
            all.find(|one| one.name.as_str() == name)
                .unwrap()
                .value
                .as_str()
                .to_owned()
        };
        assert_eq!(property("weight"), "must agreed");
        assert!(property("statement").starts_with("The block version"));
    }

    #[test]
    fn a_run_that_ends_early_is_an_error_of_its_own() {
        let ending = Ending {
            early: Some("The device is gone".into()),
            left: None,
        };
        let catalogue = Catalogue::load().unwrap();
        let xml = to_xml(&description(), &catalogue, &[], &ending).unwrap();
        let report = Report::deserialize_from_str(&xml).unwrap();
        assert_eq!((report.tests, report.errors), (1, 1));
        assert!(xml.contains("The device is gone"), "{xml}");
    }
}
