// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device for which the settings that a program begins with are wrong, and nobody says better ones.

use anyhow::{Context, Result};
use chmu_promotion::ledger::Action;
use serde_json::Value;

use crate::scenario::bench::{Bench, Promoted};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

/// Only stores count, which are rare: no page reaches the usual threshold.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "tuner",
    summary: "where no page reaches the usual threshold, another one is found without a number",
    needs: Needs {
        device: "[[block]]\n[[block.instance]]\ntrackable_requests = [\"non-tee-write\"]\n",
        ..Needs::topology("default")
    },
    run,
};

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 4096 --hot-pages 512 --write-percent 3")?;
    bench.go(&workload)?;
    let fixed = bench.shell("chmu promote --no-tune --seconds 3 -o json")?;
    let fixed: Value = serde_json::from_str(&fixed).context("The report is none")?;
    let promoted = &fixed["pages_promoted"];
    bench.expect(*promoted == 0, || {
        format!("{promoted} pages were promoted with the usual settings: they are not wrong here")
    });
    let promoted = bench.promote(&[], "")?;
    expect_adapted(bench, &promoted)?;
    bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &[0]))?;
    bench.end("workload", workload)?;
    Ok(())
}

/// Settings were adapted, which the ledger says.
pub(super) fn expect_adapted(bench: &mut Bench<'_>, promoted: &Promoted) -> Result<()> {
    let events = bench.events(promoted, "tuned")?;
    let tuned = events.iter().filter_map(|event| match &event.action {
        Action::Tuned(tuned) => Some(tuned),
        _ => None,
    });
    let tuned: Vec<_> = tuned
        .map(|tuned| (tuned.setting, tuned.from, tuned.to, &tuned.reason))
        .collect();
    bench.expect(!tuned.is_empty(), || "No setting was adapted".to_owned());
    bench.figure("settings adapted", tuned);
    bench.figure("seconds", seconds(&promoted.report));
    Ok(())
}

fn seconds(report: &Value) -> Option<u64> {
    report["duration_ns"]
        .as_u64()
        .map(|time| time / 1_000_000_000)
}
