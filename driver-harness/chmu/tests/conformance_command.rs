// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu conformance` as a user runs it.

use std::fs::{self, File};
use std::path::Path;
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
    assert!(text.starts_with("KTAP version 1\n# suite: chmu "), "{text}");
    assert!(text.contains("\n1..11\nok 1 discovery/"), "{text}");
    assert!(
        text.ends_with("# Totals: pass:11 fail:0 error:0 skip:0 differs:0\n"),
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
        .find_map(|line| line.strip_prefix("# again: "))
        .unwrap();
    let words = shlex::split(again).unwrap();
    // It is run from another folder, where a relative name would lead nowhere.
    let second = Command::new(&words[0])
        .args(&words[1..])
        .current_dir("/")
        .output()
        .unwrap();
    assert_eq!(code(&second), Some(1));
    let second = String::from_utf8(second.stdout).unwrap();
    assert!(second.contains("\n1..1\nnot ok 1 status/"), "{second}");
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
    assert_eq!(json["facts"]["transport"], "in-process");
    assert_eq!(
        (&json["schema_version"], &json["complete"]),
        (&3.into(), &true.into())
    );
    assert_eq!(json["totals"]["failed"], 0);
    let names = ["0.0", "0.1"];
    for (instance, name) in json["instances"].as_array().unwrap().iter().zip(names) {
        assert_eq!(instance["instance"], name);
        assert_eq!(instance["cases"].as_array().unwrap().len(), 9);
    }
    let xml = fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("<testsuite name=\"instance 0.1\" tests=\"9\""),
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
    let report = text(&nobody);
    assert!(report.starts_with("KTAP version 1\n# suite: "), "{report}");
    assert!(
        report.contains("\nBail out! Cannot connect to the device"),
        "{report}"
    );
    assert!(!report.contains("Totals"), "{report}");
    let sentence = String::from_utf8(nobody.stderr).unwrap();
    assert!(
        sentence.starts_with("0: Cannot connect to the device"),
        "{sentence}"
    );
}

#[test]
fn a_device_that_cannot_be_restored_fails_with_its_results() {
    let stuck = chmu(&[
        "run",
        "operation",
        "--quirk=operation-takes-a-second",
        "--operation-wait=200ms",
    ]);
    assert_eq!(code(&stuck), Some(1));
    assert!(text(&stuck).contains("\nnot ok 1 operation/enable #"));
    let sentence = String::from_utf8(stuck.stderr).unwrap();
    let left = "The device's configuration could not be restored, of instance 0.0: ";
    assert!(sentence.starts_with(left), "{sentence}");
}

#[test]
fn reports_are_written_when_nothing_ran() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml");
    let nobody = chmu(&[
        "run",
        "--transport=socket",
        "--socket=/nonexistent/device.sock",
        "--output=json",
        "--junit",
        junit.to_str().unwrap(),
    ]);
    assert_eq!(code(&nobody), Some(4));
    let json: Value = serde_json::from_slice(&nobody.stdout).unwrap();
    assert_eq!(json["complete"], false);
    let problem = json["problem"].as_str().unwrap();
    assert!(
        problem.starts_with("Cannot connect to the device"),
        "{problem}"
    );
    let xml = fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("errors=\"1\"") && xml.contains("name=\"suite\""),
        "{xml}"
    );
}

#[test]
fn a_report_that_cannot_be_written_keeps_the_run_from_beginning() {
    for option in [
        "--junit=/nonexistent/junit.xml",
        "--access-log=/nonexistent/log",
    ] {
        let output = chmu(&["run", "discovery", option]);
        assert_eq!(code(&output), Some(4), "{option}");
        assert!(output.stdout.is_empty(), "{option}");
        let sentence = String::from_utf8(output.stderr).unwrap();
        assert!(
            sentence.starts_with("0: Cannot write /nonexistent/"),
            "{sentence}"
        );
    }
}

/// As full as `/dev/full` is a disk.
#[test]
fn results_that_cannot_be_written_are_no_failure_of_the_device() {
    for form in ["ktap", "json"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chmu"));
        command.args(["conformance", "run", "discovery", "-o", form]);
        let output = command.stdout(full).output().unwrap();
        assert_eq!(code(&output), Some(4), "{form}: {output:?}");
    }
}

#[test]
fn no_report_is_written_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    let dotted = folder.path().join(".").join("report");
    let option = |name: &str, path: &Path| format!("{name}={}", path.display());
    let output = chmu(&[
        "run",
        "discovery",
        &option("--junit", &file),
        &option("--access-log", &dotted),
    ]);
    assert_eq!(code(&output), Some(4));
    assert!(output.stdout.is_empty(), "{output:?}");
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert!(
        sentence.starts_with("0: --junit and --access-log both name "),
        "{sentence}"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_chmu"));
    command.args(["conformance", "run", "discovery", &option("--junit", &file)]);
    let output = command
        .stdout(File::create(&file).unwrap())
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(4));
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert!(
        sentence.starts_with("0: stdout and --junit both name "),
        "{sentence}"
    );
}

#[test]
fn the_head_repeats_the_run_in_a_line() {
    let words = [
        "run",
        "--quirk=count-wraps",
        "--all-instances",
        "hotlist/w*",
        "status",
    ];
    let first = text(&chmu(&words));
    let command = first
        .lines()
        .find_map(|line| line.strip_prefix("# command: "));
    let command = shlex::split(command.unwrap()).unwrap();
    let second = Command::new(&command[0])
        .args(&command[1..])
        .current_dir("/")
        .output()
        .unwrap();
    let results = |text: &str| {
        let lines = text
            .lines()
            .filter(|line| line.contains(" # ") || line.contains("Totals"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(results(&first), results(&text(&second)));
    let json: Value =
        serde_json::from_slice(&chmu(&["run", "status", "-o", "json"]).stdout).unwrap();
    let command = json["facts"]["command"].as_str().unwrap();
    assert!(command.ends_with(" status"), "{command}");
}

#[test]
fn a_run_of_nothing_takes_no_time() {
    let nobody = chmu(&[
        "run",
        "--transport=socket",
        "--socket=/nonexistent/d.sock",
        "-o",
        "json",
    ]);
    assert!(text(&nobody).contains("\"seconds\": 0.0"), "{nobody:?}");
}

/// The guide shows a report of today.
#[test]
fn the_guide_shows_what_the_command_prints() {
    const COMMAND: &str = "chmu conformance run --quirk overflow-never-set status interrupt\n";
    let folder = Path::new(env!("CARGO_BIN_EXE_chmu")).parent().unwrap();
    let mut command = Command::new("chmu");
    command
        .args(COMMAND.split_whitespace().skip(1))
        .env("PATH", folder);
    let report = text(&command.output().unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/CONFORMANCE.md");
    let guide = fs::read_to_string(&path).unwrap();
    let begin = guide.find(COMMAND).unwrap() + COMMAND.len();
    let end = begin + guide[begin..].find("```").unwrap();
    let sample = abridged(&report);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(
            &path,
            format!("{}{sample}{}", &guide[..begin], &guide[end..]),
        )
        .unwrap();
    }
    // What differs from day to day is that of the day on which it was written.
    let lasting = |text: &str| {
        let changes = |line: &&str| {
            ["# suite", "# catalogue", "# date"]
                .iter()
                .any(|head| line.starts_with(head))
        };
        text.lines()
            .filter(|line| !changes(line))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let guide = fs::read_to_string(&path).unwrap();
    let end = begin + guide[begin..].find("```").unwrap();
    assert_eq!(
        lasting(&guide[begin..end]),
        lasting(&sample),
        "look at it and run UPDATE=1 cargo test -p chmu --test conformance_command the_guide"
    );
}

/// A report's head, its first failure, reading and skip, and all of its summary.
fn abridged(report: &str) -> String {
    let (results, summary) = report.split_once("# failures by cause:").unwrap();
    let (head, results) = results.split_once("\n1..").unwrap();
    let shown = [
        "KTAP",
        "# suite",
        "# catalogue",
        "# date",
        "# ids",
        "# traffic",
    ];
    let head = head
        .lines()
        .filter(|line| shown.iter().any(|start| line.starts_with(start)));
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut lines = results.lines();
    let plan = lines.next().unwrap();
    for line in lines {
        match line.starts_with("# ") {
            true => blocks.last_mut().unwrap().push(line),
            false => blocks.push(vec![line]),
        }
    }
    let first = |part: &str| {
        blocks
            .iter()
            .position(|block| block.join("\n").contains(part))
    };
    let mut chosen: Vec<_> = ["not ok ", "# reading: ", " # SKIP "]
        .into_iter()
        .filter_map(first)
        .collect();
    chosen.sort_unstable();
    let chosen = chosen.into_iter().flat_map(|number| &blocks[number]);
    let lines: Vec<_> = head.chain(chosen.copied()).collect();
    let (head, results) = lines.split_at(
        lines
            .iter()
            .position(|line| !line.starts_with('#') && !line.starts_with("KTAP"))
            .unwrap(),
    );
    format!(
        "{}\n1..{plan}\n{}\n...\n# failures by cause:{summary}",
        head.join("\n"),
        results.join("\n")
    )
}

#[test]
fn accesses_of_failing_cases_are_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("accesses");
    let option = format!("--access-log={}", log.display());
    let output = chmu(&[
        "run",
        "status",
        "--quirk=overflow-never-set",
        &option,
        "-vvv",
    ]);
    assert_eq!(code(&output), Some(1));
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.starts_with("status/overflow-on-loss of 0.0\n  "),
        "{log}"
    );
    assert!(
        log.contains("\n  wrote 0x") && log.contains("Status (0x60) of 0.0: 0x"),
        "{log}"
    );
    assert!(!log.contains("status/fill-level-above"), "{log}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("status/overflow-on-loss of 0.0: wrote 0x"),
        "{said}"
    );
}

#[test]
fn failures_are_told_by_cause_and_skips_by_what_unlocks_them() {
    let output = chmu(&["run", "--quirk=count-one-less", "counter"]);
    let text = text(&output);
    let summary = text.split("# failures by cause:\n").nth(1).unwrap();
    assert!(
        summary.starts_with("#   1. counter/exact-count (must "),
        "{summary}"
    );
    assert!(
        summary.contains(" may follow from it: counter/saturation, "),
        "{summary}"
    );
    assert!(!summary.contains("#   2. "), "{summary}");
    let read_only = chmu(&["run", "discovery", "register", "--read-only"]);
    let text = String::from_utf8(read_only.stdout).unwrap();
    assert!(
        text.contains("#        unlocked by: run without --read-only\n"),
        "{text}"
    );
}

/// What a reader of KTAP holds a line for.
fn is_ktap(line: &str) -> bool {
    let is_result = |line: &str| {
        let mut words = line.split(' ');
        let number = words.next().is_some_and(|word| word.parse::<u32>().is_ok());
        number && words.next().is_some_and(|name| !name.starts_with('#'))
    };
    let line = line.trim_start();
    let result = line
        .strip_prefix("not ok ")
        .or_else(|| line.strip_prefix("ok "));
    let plan = line.strip_prefix("1..");
    line == "KTAP version 1"
        || line.starts_with("# ")
        || result.is_some_and(is_result)
        || plan.is_some_and(|count| count.parse::<u32>().is_ok())
}

#[test]
fn every_line_is_ktap_and_fits_a_terminal() {
    for words in [
        &["run", "--quirk=count-one-less"][..],
        &[
            "run",
            "--profile=minimal",
            "--all-instances",
            "--quirk=entry-bytes-swapped",
        ],
    ] {
        let text = text(&chmu(words));
        for line in text.lines() {
            assert!(is_ktap(line), "{line}");
            let is_command = line.contains("# again: ") || line.starts_with("# command: ");
            let is_text = line.trim_start().starts_with("# ") && !is_command;
            assert!(!is_text || line.chars().count() <= 80, "{line}");
        }
        let results = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        let planned = text
            .lines()
            .filter_map(|line| line.strip_prefix("1.."))
            .next()
            .unwrap();
        let found = results("ok ") + results("not ok ");
        assert_eq!(planned.parse(), Ok(found));
    }
}

#[test]
fn a_run_takes_less_memory_than_it_may() {
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -v 524288 && exec \"$0\" conformance run --profile=huge-list",
        ])
        .arg(env!("CARGO_BIN_EXE_chmu"))
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(0), "{output:?}");
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
