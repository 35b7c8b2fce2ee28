// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu` whose output nobody takes.

use std::fs::{File, OpenOptions};
use std::io;
use std::process::{Command, Output, Stdio};

/// What shells say of a program that SIGPIPE ended.
const CLOSED_PIPE: i32 = 141;

/// Verbs that print a result here, whatever machine this is, and the code that they end with.
const PRINTING: [(&[&str], i32); 9] = [
    (&["--help"], 0),
    (&["--version"], 0),
    (&["workload", "script", "--help"], 0),
    // Where there is nothing to look at, nobody looked.
    (&["list", "--sysfs=/nonexistent"], 4),
    (&["list", "--sysfs=/nonexistent", "-o", "json"], 4),
    (&["conformance", "list"], 0),
    (
        &["conformance", "explain", "hotlist/wraps", "-o", "json"],
        0,
    ),
    (&["conformance", "run", "discovery"], 0),
    (&["conformance", "run", "discovery", "-o", "json"], 0),
];

/// Verbs that only complain here, and the code that they end with.
const COMPLAINING: [(&[&str], i32); 6] = [
    (&["prove", "--state=/nonexistent"], 1),
    (&["promote", "--frames=/nonexistent", "--dry-run"], 1),
    (&["watch", "--device=mem99"], 1),
    (
        &[
            "conformance",
            "run",
            "--transport=socket",
            "--socket=/nonexistent",
        ],
        4,
    ),
    (&["conformance", "run", "nothing"], 2),
    (&["nothing"], 2),
];

fn chmu(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chmu"));
    command.args(words).env_remove("RUST_LOG");
    command
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// A pipe whose reader has gone.
fn closed() -> Stdio {
    let (_, writer) = io::pipe().unwrap();
    writer.into()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_reader_that_left_ends_a_verb_quietly() {
    for (words, _) in PRINTING {
        let child = chmu(words).stdout(closed()).stderr(Stdio::piped()).spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        assert_eq!(stderr(&output), "", "{words:?}");
        // What is printed for a request for help is the parser's business.
        let code = output.status.code();
        assert_eq!(code, Some(CLOSED_PIPE), "{words:?}");
    }
}

#[test]
fn a_full_disk_is_a_sentence_and_a_failure() {
    for (words, _) in PRINTING {
        let child = chmu(words).stdout(full()).stderr(Stdio::piped()).spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        assert_eq!(
            stderr(&output),
            "0: The result cannot be written to stdout\n1: No space left on device (os error 28)\n",
            "{words:?}"
        );
        // Of the suite 1 says that the device is wrong.
        let code = match words {
            ["conformance", "run", ..] => 4,
            _ => 1,
        };
        assert_eq!(output.status.code(), Some(code), "{words:?}");
    }
}

#[test]
fn nobody_needs_to_hear_complaints() {
    for (words, code) in PRINTING.iter().chain(&COMPLAINING) {
        for stderr in [full().into(), closed()] {
            let command = chmu(words)
                .arg("-vvv")
                .stdout(Stdio::piped())
                .stderr(stderr)
                .spawn();
            let output = command.unwrap().wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(*code), "{words:?}");
        }
    }
}

#[test]
fn strange_filters_of_the_log_are_said_or_not_heard() {
    let words = ["list", "--sysfs=/nonexistent"];
    let output = chmu(&words).env("RUST_LOG", "a=b=c,info").output().unwrap();
    assert!(stderr(&output).contains("\"a=b=c\", which is no filter"));
    let child = chmu(&words)
        .env("RUST_LOG", "a=b=c,info")
        .stderr(full())
        .spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
}
