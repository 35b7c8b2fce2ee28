// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use anyhow::Result;

use crate::scenario::bench::Bench;
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "two-socket",
    summary: "the hot pages of each CXL node go to the socket next to it",
    needs: Needs::topology("two-socket"),
    run,
};

fn run(bench: &mut Bench<'_>) -> Result<()> {
    if !bench.holds("command -v taskset")? {
        return Bench::skip("The guest's busybox has no taskset");
    }
    let first = bench.workload_below("taskset 1", "--node 2 --pages 2048 --hot-pages 384")?;
    let second = bench.workload_below(
        "taskset 2",
        "--node 3 --pages 2048 --hot-pages 384 --seed 2",
    )?;
    let promoted = bench.promote(&[&first, &second], "")?;
    bench.figure("batches", &promoted.report["batches"]);
    bench.expect_proven(&Demand::all("both", &[&first, &second], &promoted, &[0, 1]))?;
    bench.expect_placed("first", &first, &[0])?;
    bench.expect_placed("second", &second, &[1])?;
    bench.end("first", first)?;
    bench.end("second", second)?;
    Ok(())
}
