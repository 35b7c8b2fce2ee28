// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu conformance` as a user runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn chmu(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chmu"));
    command.arg("conformance").args(arguments);
    command.output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_good_device_passes() {
    let output = chmu(&["run", "discovery", "--strict"]);
    assert_eq!(code(&output), Some(0));
    let text = text(&output);
    assert!(
        text.starts_with("KTAP version 1\n1..11\nok 1 discovery/"),
        "{text}"
    );
    assert!(
        text.ends_with("# Totals: pass:11 fail:0 skip:0 differs:0\n"),
        "{text}"
    );
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_broken_device_fails_and_the_printed_command_repeats_it() {
    let first = chmu(&[
        "run",
        "status",
        "--quirk",
        "overflow-never-set",
        "--profile=full",
    ]);
    assert_eq!(code(&first), Some(1));
    let text = text(&first);
    let again = text
        .lines()
        .find_map(|line| line.strip_prefix("# again: chmu conformance "))
        .unwrap();
    let words: Vec<_> = again.split(' ').collect();
    let second = chmu(&words);
    assert_eq!(code(&second), Some(1));
    let second = String::from_utf8(second.stdout).unwrap();
    assert!(
        second.starts_with("KTAP version 1\n1..1\nnot ok 1 status/"),
        "{second}"
    );
}

#[test]
fn programs_get_json_and_junit() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml");
    let output = chmu(&[
        "run",
        "instance",
        "--profile=minimal",
        "--all-instances",
        "--output=json",
        "--junit",
        junit.to_str().unwrap(),
    ]);
    assert_eq!(code(&output), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["transport"], "in-process");
    assert_eq!(json["totals"]["failed"], 0);
    let names = ["0.0", "0.1"];
    for (instance, name) in json["instances"].as_array().unwrap().iter().zip(names) {
        assert_eq!(instance["instance"], name);
        assert_eq!(instance["cases"].as_array().unwrap().len(), 8);
    }
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("<testsuite name=\"instance 0.1\" tests=\"8\""),
        "{xml}"
    );
}

#[test]
fn nothing_ran_is_told_from_all_passed() {
    let skipped = chmu(&["run", "always-on", "--profile=minimal"]);
    assert_eq!(code(&skipped), Some(4));
    assert!(text(&skipped).contains("# SKIP the instance has no always-on mode"));
    let nobody = chmu(&[
        "run",
        "--transport=socket",
        "--socket=/nonexistent/device.sock",
    ]);
    assert_eq!(code(&nobody), Some(4));
    assert!(nobody.stdout.is_empty());
    let sentence = String::from_utf8(nobody.stderr).unwrap();
    assert!(
        sentence.starts_with("0: Cannot connect to the device"),
        "{sentence}"
    );
}

#[test]
fn a_device_that_cannot_be_restored_fails_with_its_results() {
    let stuck = chmu(&["run", "operation", "--quirk=operation-takes-a-second"]);
    assert_eq!(code(&stuck), Some(1));
    assert!(text(&stuck).contains("\nnot ok 1 operation/enable\n"));
    let sentence = String::from_utf8(stuck.stderr).unwrap();
    assert!(
        sentence
            .starts_with("0: the device's configuration could not be restored, of instance 0.0: "),
        "{sentence}"
    );
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for words in [
        &["run", "no-such-case"][..],
        &["run", "--socket=/s"],
        &["run", "--transport=region", "--quirk=overflow-never-set"],
        &["run", "--instance=0.0", "--all-instances"],
        &["explain", "CHMU-HOTLIST-999"],
    ] {
        let output = chmu(words);
        assert_eq!(code(&output), Some(2), "{words:?}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn the_catalogue_is_listed_and_explained() {
    let list = chmu(&["list", "-o", "json"]);
    let json: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert!(json["cases"].as_array().unwrap().len() >= 120);
    assert!(json["requirements"].as_array().unwrap().len() >= 120);
    let text = text(&chmu(&["explain", "hotlist/wraps"]));
    assert!(text.contains("CHMU-HOTLIST-004"), "{text}");
}

#[test]
fn names_that_do_not_exist_lead_to_those_that_do() {
    for (words, parts) in [
        (
            &["run", "hotlst/wraps"][..],
            &["did you mean hotlist/wraps?", "The areas are discovery,"][..],
        ),
        (
            &["run", "hot-list"],
            &["did you mean hotlist?", "chmu conformance list prints all"],
        ),
        (
            &["run", "--profile=ful"],
            &["did you mean full? There are default, full, minimal,"],
        ),
        (
            &["run", "--quirk=count-wrap"],
            &["did you mean count-wraps? chmu conformance list --quirks prints all"],
        ),
        (
            &["run", "--transport=sokcet"],
            &[
                "in-process, socket, guest, region",
                "similar value exists: 'socket'",
            ],
        ),
        (
            &["explain", "CHMU-HOTLIST-999"],
            &[
                "did you mean CHMU-HOTLIST-",
                "chmu conformance list prints all",
            ],
        ),
    ] {
        let output = chmu(words);
        assert_eq!(code(&output), Some(2), "{words:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        for part in parts {
            assert!(
                text.contains(part),
                "{words:?}: {part:?} is missing in: {text}"
            );
        }
    }
}

#[test]
fn values_of_options_are_listed() {
    let quirks = text(&chmu(&["list", "--quirks"]));
    assert!(quirks.contains("count-wraps"), "{quirks}");
    let profiles: Value =
        serde_json::from_slice(&chmu(&["list", "--profiles", "-o", "json"]).stdout).unwrap();
    assert_eq!(profiles[0]["name"], "default");
}
