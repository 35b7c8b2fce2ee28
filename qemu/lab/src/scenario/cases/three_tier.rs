// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use anyhow::Result;

use crate::scenario::bench::Bench;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "three-tier",
    summary: "hot pages of the CXL node go to DRAM, the next faster tier, not to the fastest",
    needs: Needs::topology("three-tier"),
    run,
};

fn run(bench: &mut Bench<'_>) -> Result<()> {
    bench.promote_one("--node 2 --pages 2048 --hot-pages 512", "", &[0])
}
