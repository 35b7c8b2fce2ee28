// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use anyhow::Result;
use chmu_machine::node::NodeId;

use crate::scenario::bench::Bench;
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "equal-sockets",
    summary: "two sockets at the same distance are both right, and each gets its part of the pages",
    needs: Needs::topology("equal-sockets"),
    run,
};

const SOCKETS: [u64; 2] = [0, 1];
/// What is hot is no question here, however slow the host is.
const SETTINGS: &str = "--threshold 16 --no-tune";

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 2048 --hot-pages 384")?;
    let promoted = bench.promote(&[&workload], SETTINGS)?;
    let proof = bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &SOCKETS))?;
    let counts = &proof.counts;
    for node in [NodeId(0), NodeId(1)] {
        let pages = counts.pages_by_node.get(&node).copied().unwrap_or(0);
        let all = counts.promoted_pages;
        bench.expect(pages * 4 >= all, || {
            format!("Of {all} promoted pages only {pages} are on node {node}, as good as the other")
        });
    }
    bench.end("workload", workload)?;
    Ok(())
}
