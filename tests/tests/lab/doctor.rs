// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab doctor` where there is no place for a cache: it says so among everything else.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::lab;

/// What doctor finds with these variables, those for the cache's place being unset otherwise.
fn findings(folder: &Path, variables: &[(&str, OsString)]) -> Result<Vec<Value>> {
    let mut command = lab(folder, &["doctor", "-o", "json"])?;
    for name in ["CHMU_CACHE_DIR", "XDG_CACHE_HOME", "HOME"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().cloned()).output()?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
}

fn finding<'a>(findings: &'a [Value], subject: &str) -> Result<&'a Value> {
    let found = findings
        .iter()
        .find(|finding| finding["subject"] == subject);
    found.with_context(|| format!("No row {subject}: {findings:?}"))
}

#[test]
fn no_place_for_a_cache_is_a_row_with_its_reason() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let not_text = OsStr::from_bytes(b"/tmp/\xff").to_owned();
    for (variables, reason) in [
        (vec![], "HOME is not set"),
        (
            vec![("XDG_CACHE_HOME", "relative".into())],
            "HOME is not set",
        ),
        (vec![("CHMU_CACHE_DIR", not_text.clone())], "is not UTF-8"),
        (vec![("XDG_CACHE_HOME", not_text)], "is not UTF-8"),
    ] {
        let findings = findings(folder.path(), &variables)?;
        let cache = finding(&findings, "Cache")?;
        assert_eq!(cache["state"], "missing", "{cache}");
        let detail = cache["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(reason), "{variables:?}: {cache}");
        let fix = cache["fix"].as_str().unwrap_or_default();
        assert!(fix.contains("CHMU_CACHE_DIR"), "{cache}");
        // All else is looked at all the same.
        for subject in ["QEMU", "Linux", "busybox", "Memory", "Rights"] {
            finding(&findings, subject)?;
        }
    }
    Ok(())
}

#[test]
fn a_relative_cache_home_is_ignored() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let home = folder.path().as_os_str().to_owned();
    let variables = [("XDG_CACHE_HOME", "relative".into()), ("HOME", home)];
    let findings = findings(folder.path(), &variables)?;
    let detail = finding(&findings, "Cache")?["detail"].as_str();
    let expected = folder.path().join(".cache/chmu-lab");
    let expected = expected.to_str().context("The folder's name is no text")?;
    assert!(
        detail.is_some_and(|detail| detail.starts_with(expected)),
        "{detail:?}"
    );
    Ok(())
}
