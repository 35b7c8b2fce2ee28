// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! An eighth of the hot pages fits into the list at once, and nobody gives a number.

use anyhow::Result;

use super::tuner;
use crate::scenario::bench::{Bench, number};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "overflow",
    summary: "a hotlist of 64 entries overflows, which is told; settings are found by which all 512 hot pages are promoted",
    needs: Needs {
        device: "block = [{ instance = [{ hotlist_entries = 64 }] }]",
        ..Needs::topology("default")
    },
    run,
};

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 4096 --hot-pages 512")?;
    let promoted = bench.promote(&[&workload], "")?;
    let overflows = number(&promoted.report, "reports_with_lost_units")?;
    bench.figure("reports with lost units", overflows);
    bench.expect(overflows > 0, || {
        "No report says that units were lost, although the list is too short for them".to_owned()
    });
    tuner::expect_adapted(bench, &promoted)?;
    bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &[0]))?;
    bench.end("workload", workload)?;
    Ok(())
}
