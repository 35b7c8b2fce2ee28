// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages of files that no process maps: scanning page tables never finds them, a device does.

use anyhow::Result;

use crate::scenario::bench::Bench;
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const TMPFS: Scenario = Scenario {
    name: "page-cache-tmpfs",
    summary: "hot pages of a file on tmpfs that no process maps are promoted",
    needs: Needs::topology("default"),
    run,
};

const FILE: &str = "/dev/shm/pages";

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let options = format!("--pages 2048 --hot-pages 384 --cold-percent 0.1 --backing file:{FILE}");
    let workload = bench.workload(&options)?;
    let promotion = bench.start_promotion("")?;
    bench.go(&workload)?;
    bench.wait_until_promoted(&promotion, &workload)?;
    let promoted = bench.stop_promotion(promotion)?;
    let mapped = bench.holds(&format!("grep -l {FILE} /proc/[0-9]*/maps"))?;
    bench.expect(!mapped, || format!("A process maps {FILE}"));
    bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &[0]))?;
    bench.end("workload", workload)?;
    bench.shell(&format!("rm {FILE}"))?;
    Ok(())
}
