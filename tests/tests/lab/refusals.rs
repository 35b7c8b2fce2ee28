// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Names that do not exist are answered with those that do.

use anyhow::Result;

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
            "demo, boot, doctor, fetch, kernel-config, mutants, test",
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
