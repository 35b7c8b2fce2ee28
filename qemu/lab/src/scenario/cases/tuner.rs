// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices for which the settings that a program begins with are wrong, and nobody says better ones.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::scenario::bench::{Bench, Workload};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

/// Only stores count, which are rare: no page reaches the usual threshold.
pub(super) const TOO_HIGH: Scenario = Scenario {
    name: "tuner",
    summary: "where no page reaches the usual threshold, another one is found without a number",
    needs: Needs {
        device: "[[block]]\n[[block.instance]]\ntrackable_requests = [\"non-tee-write\"]\n",
        ..Needs::topology("default")
    },
    run: too_high,
};

/// An eighth of the hot pages fits into the list at once.
pub(super) const SHORT_LIST: Scenario = Scenario {
    name: "tuner-overflow",
    summary: "where more is hot than the list holds, all of it is promoted without a number",
    needs: Needs {
        device: "[[block]]\n[[block.instance]]\nhotlist_entries = 64\n",
        ..Needs::topology("default")
    },
    run: short_list,
};

fn too_high(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 4096 --hot-pages 512 --write-percent 3")?;
    bench.go(&workload)?;
    let fixed = bench.shell("chmu promote --no-tune --seconds 3 -o json")?;
    let fixed: Value = serde_json::from_str(&fixed).context("The report is none")?;
    let promoted = &fixed["pages_promoted"];
    bench.expect(*promoted == 0, || {
        format!("{promoted} pages were promoted with the usual settings: they are not wrong here")
    });
    promote_by_no_number(bench, workload)
}

fn short_list(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 4096 --hot-pages 512")?;
    bench.go(&workload)?;
    promote_by_no_number(bench, workload)
}

/// Promotes what a workload that runs has hot; settings must have been adapted.
fn promote_by_no_number(bench: &mut Bench<'_>, workload: Workload) -> Result<()> {
    let promotion = bench.start_promotion("--until-stable")?;
    let promoted = bench.finish_promotion(promotion)?;
    let ledger = bench.machine.read(&promoted.ledger)?;
    let tuned: Vec<_> = ledger
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["e"] == "tuned")
        .map(|line| {
            format!(
                "{}: {} to {}, {}",
                line["setting"], line["from"], line["to"], line["reason"]
            )
        })
        .collect();
    bench.expect(!tuned.is_empty(), || "No setting was adapted".to_owned());
    bench.figure("settings adapted", tuned);
    bench.figure("seconds", seconds(&promoted.report));
    bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &[0]))?;
    bench.end("workload", workload)?;
    Ok(())
}

fn seconds(report: &Value) -> Option<u64> {
    report["duration_ns"]
        .as_u64()
        .map(|time| time / 1_000_000_000)
}
