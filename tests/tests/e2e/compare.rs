// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab compare`: each policy is seen for what it does, a user's own too.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use chmu_tests::lab_program::lab_program;
use serde_json::Value;

/// Moves as many cold pages as there are hot ones, and no other.
const COLD: &str = r#"# summary: the wrong pages
set -eu
tr -d ' \n' <"$STATE" >/run/state
field() { grep -o "\"$1\":[0-9]*" /run/state | head -n 1 | cut -d: -f2; }
grep -o '"hot_pages":\[[0-9,]*' /run/state | cut -d[ -f2 | tr , '\n' >/run/hot
seq 0 4095 | grep -vxFf /run/hot | head -n 512 | awk -v pid="$(field process_id)" -v start="$(field address)" '
    BEGIN { printf "{\"t\":1,\"hot\":[" }
    { printf "%s{\"pid\":%d,\"address\":%.0f,\"weight\":100}", (NR > 1 ? "," : ""), pid, start + $1 * 4096 }
    END { print "]}" }' >/run/cold
: >"$READY"
chmu promote --source stream:/run/cold --actuator move-pages >/dev/null
exec sleep 1000000
"#;
/// Is gone before the workload is.
const SHORT: &str =
    "# summary: nothing for long\n: >\"$READY\"\nsleep 1\necho is gone >&2\nexit 3\n";

/// The lab, which keeps its runs in this folder.
fn lab(state: &Path, arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(lab_program()?)
        .args(arguments)
        .env("XDG_STATE_HOME", state)
        .output()?)
}

/// Of the rows of a comparison the one of a policy.
fn row<'a>(result: &'a Value, policy: &str) -> Result<&'a Value> {
    let rows = result["rows"].as_array().context("no rows")?;
    let row = rows.iter().find(|row| row["policy"] == policy);
    row.with_context(|| format!("There is no row for {policy}"))
}

fn median(row: &Value, figure: &str) -> Result<f64> {
    row[figure]["median"]
        .as_f64()
        .with_context(|| format!("no {figure}: {row}"))
}

#[test]
fn policies_are_seen_for_what_they_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, script: &str| -> Result<String> {
        let path = folder.path().join(name);
        fs::write(&path, script)?;
        Ok(format!("--policy={}", path.display()))
    };
    let (cold, short) = (file("cold.sh", COLD)?, file("short.sh", SHORT)?);
    let csv = folder.path().join("trials.csv");
    let options = [
        "compare",
        "--quick",
        "-o",
        "json",
        "--workload=uniform",
        "--policy=oracle",
        "--policy=chmu",
        &cold,
        &short,
        &format!("--csv={}", csv.display()),
    ];
    let output = lab(folder.path(), &options)?;
    let said = String::from_utf8_lossy(&output.stderr);
    // One of them has failed.
    assert_eq!(output.status.code(), Some(1), "{said}");
    let result: Value = serde_json::from_slice(&output.stdout)?;
    let row = |policy: &str| row(&result, policy.trim_start_matches("--policy="));
    let (none, dram) = (row("none")?, row("dram")?);
    assert_eq!(median(none, "pages_moved")?, 0.0, "{none}");
    assert!(median(none, "end_share")? > 0.5, "{none}");
    assert!(median(dram, "end_share")? < 0.1, "{dram}");
    for one in [row("oracle")?, row("chmu")?] {
        assert_eq!(median(one, "wrong_pages")?, 0.0, "{one}");
        assert!(median(one, "hot_part")? > 0.9, "{one}");
        assert!(median(one, "gap_closed")? > 0.1, "{one}");
        let (share, of_none) = (median(one, "end_share")?, median(none, "end_share")?);
        assert!(share < of_none / 4.0, "{one}");
    }
    let wrong = row(&cold)?;
    assert_eq!(median(wrong, "wrong_pages")?, 512.0, "{wrong}");
    assert_eq!(median(wrong, "hot_part")?, 0.0, "{wrong}");
    assert!(median(wrong, "gap_closed")? < 0.1, "{wrong}");
    let reason = row(&short)?["reason"].as_str().context("no reason")?;
    assert!(reason.contains("ends with 3: is gone"), "{reason}");
    // Five have figures.
    assert_eq!(fs::read_to_string(csv)?.lines().count(), 6);
    let told = lab(folder.path(), &["report", "-o", "json"])?;
    let told: Value = serde_json::from_slice(&told.stdout)?;
    assert_eq!(told["is_good"], false, "{told}");
    let page = Path::new(told["folder"].as_str().context("no folder")?).join("page.html");
    let page = fs::read_to_string(page)?;
    assert!(page.contains("ends with 3: is gone") && page.contains("1 of 6 trials failed"));
    // The machine, the gap, the shares over time and the pages that the kernel moved.
    assert_eq!(page.matches("<svg").count(), 4);
    let same = lab(folder.path(), &["diff", "last"])?;
    assert_eq!(same.status.code(), Some(0));
    Ok(())
}
