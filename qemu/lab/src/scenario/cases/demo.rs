// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use anyhow::Result;

use crate::scenario::bench::Bench;
use crate::scenario::demo::{self, DemoResult, Workload};
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "demo",
    summary: "512 hot pages of 4096 are promoted, and no other",
    needs: Needs::topology("default"),
    run,
};

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let workload = Workload::default();
    workload.check(bench.topology)?;
    let evidence = demo::in_guest(bench.machine, &workload, bench.progress)?;
    let result = DemoResult::judge(&evidence);
    bench.figure("recall", result.recall);
    bench.figure("wrong pages", result.wrong_pages_promoted);
    bench.figure("batches", result.batches);
    bench.figure("accesses lost", result.accesses_lost);
    bench.reasons.extend(result.reasons);
    Ok(())
}
