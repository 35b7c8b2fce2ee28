// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use anyhow::Result;

use crate::scenario::bench::{Bench, ENABLED};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "reset-under-load",
    summary: "a promotion whose unit is reset says so and ends, and the next one works",
    needs: Needs::topology("default"),
    run,
};

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 4096 --hot-pages 512")?;
    let promotion = bench.start_promotion("")?;
    bench.go(&workload)?;
    bench.wait_until(promotion.process_id, ENABLED)?;
    bench.shell("echo 1 >/sys/bus/cxl/devices/mem0/../reset")?;
    // While it is reset a function may not answer at all.
    bench.expect_lost(promotion, &["disabled although it was enabled", "is gone"])?;
    // What the first one moved is in its own ledger: the second is proved with pages of its own.
    bench.end("first", workload)?;
    let workload = bench.workload("--pages 4096 --hot-pages 512 --seed 2")?;
    let promoted = bench.promote(&[&workload], "")?;
    bench.expect_proven(&Demand::all("second", &[&workload], &promoted, &[0]))?;
    bench.end("second", workload)?;
    Ok(())
}
