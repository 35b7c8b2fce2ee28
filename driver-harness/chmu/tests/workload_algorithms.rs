// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu workload graph`, `gups` and `chase` as typed.

use std::process::{Command, Output};

use serde_json::Value;

/// The smallest of each, with what it counts.
const PROGRAMS: [(&[&str], &str, u64); 3] = [
    (&["graph", "--scale=6", "--roots=2"], "edges", 1024),
    (&["gups", "--mib=1", "--updates=1000"], "updates", 4000),
    (&["chase", "--mib=1", "--rounds=2"], "steps", 32_768),
];

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chmu"))
        .arg("workload")
        .args(words)
        .output()
        .unwrap()
}

#[test]
fn each_tells_what_it_did_and_that_it_is_right() {
    for (words, what, count) in PROGRAMS {
        let output = run(&[words, &["-o", "json"]].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert_eq!(report["program"], words[0]);
        assert_eq!(report["wrong"], Value::Null, "{report}");
        let mut done = report["done"].as_array().unwrap().iter();
        let done = done.find(|done| done["what"] == what).unwrap();
        assert_eq!(done["count"], count, "{report}");
        let printed = String::from_utf8(run(words).stdout).unwrap();
        assert!(
            printed.contains(&format!("{count} {what}"))
                && printed.ends_with("\nAll of it is right\n"),
            "{printed}"
        );
    }
}

#[test]
fn what_is_spoilt_is_found() {
    for (words, ..) in PROGRAMS {
        let output = run(&[words, &["--spoil"]].concat());
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{printed}");
        assert!(printed.contains("\nWrong: "), "{printed}");
    }
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    for words in [
        ["graph", "--scale=0"],
        ["graph", "--scale=29"],
        ["gups", "--mib=0"],
        ["gups", "--hot-percent=101"],
        ["chase", "--rounds=0"],
    ] {
        assert_eq!(run(&words).status.code(), Some(2), "{words:?}");
    }
}
