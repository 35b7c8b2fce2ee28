// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs that were kept are listed, told and held against each other.

use std::fs;
use std::path::Path;

use anyhow::Result;
use chmu_tests::lab_program::lab_program;
use serde_json::json;

/// Exit code, and what was printed and said.
fn lab(state: &Path, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = std::process::Command::new(lab_program()?)
        .args(arguments)
        .env("XDG_STATE_HOME", state)
        .output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(text)?))
}

fn keep(state: &Path, name: &str, verb: &str, recall: f64) -> Result<()> {
    let folder = state.join("chmu-lab/runs").join(name);
    fs::create_dir_all(&folder)?;
    let facts = json!({
        "v": 1, "verb": verb, "command": "cargo lab demo --seed 7", "date": name, "seconds": 12.5,
        "lab": "0.1.0", "qemu": "11.1.3", "is_good": true, "verdict": "all is well",
        "figures": [{"name": "recall", "value": recall, "better": "more"}],
    });
    Ok(fs::write(folder.join("run.json"), facts.to_string())?)
}

#[test]
fn runs_are_listed_told_and_held_against_each_other() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let state = folder.path();
    let (code, text) = lab(state, &["runs"])?;
    assert_eq!(
        (code, text.as_str()),
        (
            Some(0),
            "No run was kept yet; compare, demo and scenario keep theirs.\n"
        )
    );
    let (code, text) = lab(state, &["report"])?;
    assert!(
        code == Some(1) && text.contains("compare, demo and scenario keep theirs"),
        "{text}"
    );
    keep(state, "2026-01-01", "demo", 1.0)?;
    keep(state, "2026-01-02", "demo", 0.5)?;
    keep(state, "2026-01-03", "compare", 0.5)?;
    let (_, text) = lab(state, &["runs"])?;
    assert_eq!(text.lines().count(), 3, "{text}");
    let (_, text) = lab(state, &["report", "2026-01-02"])?;
    assert!(
        text.contains("cargo lab demo --seed 7") && text.contains("/2026-01-02/page.html"),
        "{text}"
    );
    let (_, text) = lab(state, &["runs", "-o", "json"])?;
    let runs: Vec<serde_json::Value> = serde_json::from_str(&text)?;
    assert_eq!(
        (&runs[1]["name"], &runs[1]["verb"]),
        (&"2026-01-02".into(), &"demo".into())
    );
    for (arguments, expected, sentence) in [
        (&["diff", "2026-01-01", "2026-01-02"][..], 3, "0.500  WORSE"),
        (
            &["diff", "2026-01-02", "2026-01-01"],
            0,
            "No figure is worse by more than 10 %.",
        ),
        (
            &["diff", "2026-01-01", "2026-01-02", "--limit=50"],
            0,
            "worse by more than 50 %",
        ),
        (&["diff", "2026-01-01"], 1, "is a run of demo"),
        (
            &["diff", "2026", "last"],
            1,
            "The names of 3 runs begin with",
        ),
        (&["diff", "2027", "last"], 1, "No run is called \"2027\""),
    ] {
        let (code, text) = lab(state, arguments)?;
        assert_eq!(code, Some(expected), "{arguments:?}: {text}");
        assert!(text.contains(sentence), "{arguments:?}: {text}");
    }
    Ok(())
}
