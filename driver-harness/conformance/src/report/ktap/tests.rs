// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use super::super::tests::{description, results, two_instances};
use super::*;

fn written(instances: &[InstanceResults], ending: &Ending) -> String {
    let (catalogue, description) = (Catalogue::load().unwrap(), description());
    let mut output = Vec::new();
    let mut ktap = Ktap::new(&mut output, &description, &catalogue, instances.len()).unwrap();
    for one in instances {
        ktap.begin_instance(one.instance, one.results.len())
            .unwrap();
        for result in &one.results {
            ktap.result(result).unwrap();
        }
        ktap.end_instance(&one.results).unwrap();
    }
    ktap.end(instances, ending).unwrap();
    String::from_utf8(output).unwrap()
}

fn instance(results: Vec<CaseResult>) -> InstanceResults {
    InstanceResults {
        instance: (0, 1),
        results,
    }
}

#[test]
fn every_kind_of_result_has_its_form() {
    let expected = "\
KTAP version 1
# suite: chmu 0.1.0
# device: 0000:35:00.0
# transport: guest
1..6
ok 1 a/one # must agreed CHMU-DISCOVERY-006
ok 2 a/two # must agreed CHMU-DISCOVERY-006
# reading: count >= threshold
ok 3 b/one # must agreed CHMU-DISCOVERY-006
# information: the tail: read 1, expected 0
ok 4 b/two # SKIP the block has one instance only (must agreed CHMU-DISCOVERY-006)
not ok 5 c/one # must agreed CHMU-DISCOVERY-006
# the tail: read 1, expected 0
# CHMU-DISCOVERY-006 (must, agreed): The block version is 1.
# again: chmu conformance run --transport guest --instance 0.1 c/one
not ok 6 c/two # ERROR must agreed CHMU-DISCOVERY-006
# could not be judged: the socket is closed
# again: chmu conformance run --transport guest --instance 0.1 c/two
# failures by cause:
#   1. c/one (must agreed CHMU-DISCOVERY-006)
#      the tail: read 1, expected 0
# could not be judged:
#   c/two: the socket is closed
# skipped:
#     1  the block has one instance only
#        unlocked by: another device
# profile:
#   a/two  count >= threshold
# Totals: pass:2 fail:1 error:1 skip:1 differs:1
";
    let text = written(&[instance(results())], &Ending::default());
    assert_eq!(text, expected);
}

#[test]
fn several_instances_are_nested() {
    let text = written(&two_instances(), &Ending::default());
    let start = "# transport: guest\n1..2\n  KTAP version 1\n  1..6\n  ok 1 a/one # must";
    assert!(text.contains(start), "{text}");
    assert!(
        text.contains("\nnot ok 1 instance 0.0\n  KTAP version 1\n"),
        "{text}"
    );
    let end = "\nnot ok 2 instance 1.3\n# Totals: pass:4 fail:2 error:2 skip:2 differs:2\n";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn a_run_that_ends_early_has_no_totals() {
    let mut results = results();
    results.truncate(2);
    let ending = Ending {
        early: Some("The run was ended in case b/one".into()),
        left: None,
    };
    let text = written(&[instance(results)], &ending);
    assert!(!text.contains("Totals"), "{text}");
    let end = "# Not complete: 2 of 6 cases ran, pass:2 fail:0 error:0 skip:0 differs:0\n\
               Bail out! The run was ended in case b/one\n";
    assert!(text.ends_with(end), "{text}");
    let nothing = written(&[], &ending);
    assert!(
        nothing.ends_with("guest\nBail out! The run was ended in case b/one\n"),
        "{nothing}"
    );
}
