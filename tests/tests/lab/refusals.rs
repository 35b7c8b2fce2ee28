// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Names that do not exist are answered with those that do, and values that cannot be used are
//! refused before anything boots.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};

use super::lab;

#[test]
fn unknown_names_are_answered_with_known_ones() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (words, expected) in [
        (&["mutants", "count-warps"][..], "count-wraps"),
        (&["mutants", "xyzzy"], "cargo lab mutants --list"),
        (&["demo", "--kernel-suite", "lts-6.21"], "lts-6.12"),
        (&["boot", "--mode", "regoin"], "region"),
        (&["demoo"], "did you mean demo"),
        (
            &["xyzzy"],
            "demo, bench, boot, compare, diff, doctor, fetch, kernel-config, mutants, report, run, runs, scenario, test, workloads",
        ),
        (&["fetch", "-o", "jason"], "json"),
    ] {
        let output = lab(folder.path(), words)?.output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    Ok(())
}

#[test]
fn all_rules_that_can_be_broken_are_listed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = lab(folder.path(), &["mutants", "--list", "-o", "json"])?.output()?;
    let rules: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout)?;
    let known = rules
        .iter()
        .any(|rule| rule["quirk"] == "threshold-exclusive");
    assert!(known && rules.len() > 100, "{rules:?}");
    Ok(())
}

#[test]
fn what_boot_cannot_use_is_refused_before_anything_boots() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    fs::write(&file, "")?;
    let file = file.to_str().context("The folder's name is no text")?;
    let long = format!("/tmp/{}", "x".repeat(107));
    let below_file = format!("{file}/e.sock");
    let other_socket = "--device-option=--socket-path=/s";
    for (words, expected) in [
        (
            &["--plugin-option=caches=none"][..],
            "There is no argument \"caches=none\"",
        ),
        (
            &["--plugin-option=cache=lines:65"],
            "a power of two between 64 and 1048576",
        ),
        (
            &["--plugin-option=cache=none,cache=lines:64"],
            "cache is given twice",
        ),
        (
            &["--plugin-option=socket=/no/such"],
            "no access socket /no/such",
        ),
        (
            &["--event-socket", &long],
            "has 112 bytes, the kernel allows 107",
        ),
        (
            &["--event-socket=/no/such/e.sock"],
            "No socket can be made in /no/such: No such file",
        ),
        (&["--event-socket", &below_file], "Not a directory"),
        (&["--event-socket", file], "exists and is not a socket"),
        (
            &["--clock=manual", "--clock-socket=/no/such/c.sock"],
            "No socket can be made in",
        ),
        (
            &["--clock=manual", "--clock-socket=s", "--event-socket=./s"],
            "both",
        ),
        (
            &["--device-option=--no-such"],
            "unexpected argument '--no-such'",
        ),
        (&[other_socket], "cannot be used multiple times"),
        (
            &["--initrd", file, "--rootfs=debian"],
            "which --initrd replaces",
        ),
        (
            &["--initrd", file, "--share=/:/host"],
            "which --initrd replaces",
        ),
        (
            &["--dry-run", "--rootfs=debian"],
            "a userland's disk is gone",
        ),
        (&["--package="], "package"),
        (&["--kernel", file], "is no x86 Linux kernel"),
        (&["--add=:"], "\":\" names no file"),
        (&["--add", &format!("{file}:")], "no path behind the colon"),
    ] {
        let words = [&["boot", "--qemu=/no/such/qemu"], words].concat();
        let output = lab(folder.path(), &words)?
            .current_dir(folder.path())
            .output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    let mut not_text = OsString::from("--event-socket=");
    not_text.push(OsStr::from_bytes(b"\xff"));
    let output = lab(folder.path(), &["boot", "--qemu=/no/such"])?
        .arg(not_text)
        .output()?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    Ok(())
}
