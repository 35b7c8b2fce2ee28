// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The cache in the user's eyes: whole entries are used, damaged ones are found, used ones stay.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use anyhow::Result;
use serde_json::Value;

use super::{CONTENT, ENTRIES, filled_cache, lab};

#[test]
fn whole_entries_need_no_mirror() -> Result<()> {
    let folder = tempfile::tempdir()?;
    filled_cache(folder.path())?;
    let output = lab(folder.path(), &["fetch", "-o", "json"])?.output()?;
    assert!(output.status.success(), "{output:?}");
    let fetched: Value = serde_json::from_slice(&output.stdout)?;
    for part in ["qemu", "linux", "busybox"] {
        assert_eq!(fetched[part]["version"], "1.2.3", "{fetched}");
    }
    Ok(())
}

#[test]
fn half_a_file_and_a_changed_byte_are_found_before_use() -> Result<()> {
    for (name, content) in [
        (ENTRIES[1], vec![7; 2048]),
        (ENTRIES[0], [&[7; 4095][..], &[8]].concat()),
    ] {
        let folder = tempfile::tempdir()?;
        let cache = filled_cache(folder.path())?;
        let damaged = cache.entry(name);
        fs::write(damaged.join(CONTENT), content)?;
        let output = lab(folder.path(), &["fetch"])?.output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{said}");
        let damage = format!(
            "{CONTENT} in {} is not as it was fetched",
            damaged.display()
        );
        let begin = format!("The cache is damaged, and fetched anew: {damage}");
        assert!(said.contains(&begin), "{said}");
        // It could not be fetched: the reason, the way round and the damage are one sentence.
        let first = said.lines().find(|line| line.starts_with("0: "));
        assert!(first.is_some_and(|line| line.contains(&damage)), "{said}");
        let other = cache.entry(ENTRIES[2]);
        assert!(!said.contains(&other.display().to_string()), "{said}");
    }
    Ok(())
}

#[test]
fn doctor_names_what_is_damaged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = filled_cache(folder.path())?;
    fs::remove_file(cache.entry(ENTRIES[2]).join(CONTENT))?;
    let output = lab(folder.path(), &["doctor", "-o", "json"])?.output()?;
    let findings: Value = serde_json::from_slice(&output.stdout)?;
    let findings = findings.as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |subject: &str| {
        findings
            .iter()
            .find(|finding| finding["subject"] == subject)
    };
    let busybox = of("busybox").map(ToString::to_string).unwrap_or_default();
    assert!(busybox.contains("not as it was fetched"), "{findings:?}");
    assert!(busybox.contains(r#""state":"fetch""#), "{busybox}");
    assert!(
        of("QEMU").is_some_and(|qemu| qemu["state"] == "ok"),
        "{findings:?}"
    );
    Ok(())
}

#[test]
fn refresh_leaves_alone_what_is_in_use() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cache = filled_cache(folder.path())?;
    ENTRIES.iter().try_for_each(|name| cache.hold(name))?;
    let output = lab(folder.path(), &["fetch", "--refresh"])?.output()?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{said}");
    for label in ["QEMU", "the kernel", "busybox"] {
        let line = format!("A running lab uses {label}, which stays as it is");
        assert!(said.contains(&line), "{said}");
    }
    Ok(())
}

#[test]
fn a_folder_that_apt_cannot_name_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in [&b"a\"b"[..], b"a\xffb"] {
        let cache = folder.path().join(OsStr::from_bytes(name));
        let output = lab(&cache, &["fetch"])?.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("CHMU_CACHE_DIR"), "{said}");
    }
    Ok(())
}
