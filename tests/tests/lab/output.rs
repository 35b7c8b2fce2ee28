// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Readers that leave and outputs that are full end no verb in a panic.

use std::fs::OpenOptions;
use std::process::{Output, Stdio};

use anyhow::Result;

use super::{filled_cache, lab};

/// Verbs that print something without a guest.
const VERBS: [&[&str]; 7] = [
    &["doctor"],
    &["doctor", "-o", "json"],
    &["fetch"],
    &["fetch", "-o", "json"],
    &["mutants", "--list"],
    &["mutants", "threshold-exclusive"],
    &["--help"],
];
/// As shells say it of a tool that SIGPIPE ended.
const CLOSED_PIPE: i32 = 141;

/// Runs a verb with these outputs.
fn run(verb: &[&str], stdout: Stdio, stderr: Stdio) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    filled_cache(folder.path())?;
    let mut command = lab(folder.path(), verb)?;
    let child = command.stdout(stdout).stderr(stderr).spawn()?;
    Ok(child.wait_with_output()?)
}

fn full() -> Result<Stdio> {
    Ok(OpenOptions::new().write(true).open("/dev/full")?.into())
}

/// The writing end of a pipe whose reader has left.
fn closed() -> Result<Stdio> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    Ok(writer.into())
}

#[test]
fn a_reader_that_left_ends_a_verb_quietly() -> Result<()> {
    for verb in VERBS {
        let output = run(verb, closed()?, Stdio::piped())?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(CLOSED_PIPE), "{verb:?}: {said}");
        assert!(!said.contains("pipe") && !said.contains("0: "), "{said}");
    }
    Ok(())
}

#[test]
fn a_result_that_is_lost_is_a_failure() -> Result<()> {
    for verb in VERBS {
        let output = run(verb, full()?, Stdio::piped())?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{verb:?}: {said}");
        assert!(said.contains("0: The result cannot be written"), "{said}");
    }
    Ok(())
}

#[test]
fn what_becomes_of_stderr_changes_nothing() -> Result<()> {
    for verb in VERBS {
        let expected = run(verb, Stdio::piped(), Stdio::piped())?;
        for stderr in [full()?, closed()?] {
            let output = run(verb, Stdio::piped(), stderr)?;
            assert_eq!(output.status.code(), expected.status.code(), "{verb:?}");
            assert!(!output.stdout.is_empty(), "{verb:?}");
        }
    }
    let refused = run(&["demo", "--qemu=/no/such"], Stdio::piped(), full()?)?;
    assert_eq!(refused.status.code(), Some(1));
    Ok(())
}

#[test]
fn without_a_terminal_steps_are_dated_lines() -> Result<()> {
    let output = run(&["fetch"], Stdio::piped(), Stdio::piped())?;
    let said = String::from_utf8(output.stderr)?;
    let first = said.lines().next().and_then(|line| line.split_once("Z "));
    let is_date = |date: &str| date.len() == "2026-11-26T15:24:06".len() && date.contains('T');
    assert!(first.is_some_and(|(date, _)| is_date(date)), "{said}");
    assert!(!said.contains('\x1b'), "{said}");
    Ok(())
}
