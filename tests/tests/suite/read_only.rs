// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A first look at a device changes nothing, as the device itself has it.

use std::fs;

use anyhow::Result;
use chmu_conformance::cases;
use chmu_conformance::judge::Verdict;
use chmu_conformance::run::RunOptions;

use crate::device::{ALONE, Device};

/// What the device wrote down of its registers, by kind of line.
#[derive(Debug)]
struct Traced {
    reads: usize,
    writes: usize,
    resets: usize,
}

fn run(read_only: bool) -> Result<Traced> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace");
    let option = format!("--trace-registers={}", path.display());
    let mut device = match read_only {
        true => Device::start_to_read("full", &[&option])?,
        false => Device::start("full", ALONE, &[&option])?,
    };
    let options = RunOptions {
        read_only,
        ..RunOptions::default()
    };
    let results = device.run_with(&cases::all(), &options)?;
    let passed = |verdict: &Verdict| matches!(verdict, Verdict::Passed { .. });
    assert!(results.iter().any(|result| passed(&result.verdict)));
    let trace = fs::read_to_string(path)?;
    let kind = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    let kinds: Vec<_> = trace.lines().map(kind).collect();
    let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
    Ok(Traced {
        reads: count("read"),
        writes: count("write"),
        resets: trace.matches("resets the device").count(),
    })
}

#[test]
fn a_read_only_run_writes_no_register_and_resets_nothing() -> Result<()> {
    let look = run(true)?;
    assert!(look.reads > 100, "{look:?}");
    assert_eq!((look.writes, look.resets), (0, 0), "{look:?}");
    // The trace would have shown it.
    let whole = run(false)?;
    assert!(whole.writes > 100, "{whole:?}");
    Ok(())
}
