// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Synchronous context: whoever finds a page hot knows who accessed it. Here a stream says so, with the
//! hot pages by their addresses.

use anyhow::Result;

use crate::scenario::bench::Bench;
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "sync",
    summary: "where the accessor's node is known, pages go there although another is as good",
    needs: Needs::topology("equal-sockets"),
    run,
};

const STREAM: &str = "/run/accessed.jsonl";

fn run(bench: &mut Bench<'_>) -> Result<()> {
    for node in [1, 0] {
        to(bench, node)?;
    }
    bench.shell(&format!("rm {STREAM}"))?;
    Ok(())
}

/// The processors of this node access the pages.
fn to(bench: &mut Bench<'_>, node: u64) -> Result<()> {
    let what = format!("accessed from node {node}");
    let workload = bench.workload("--pages 2048 --hot-pages 384")?;
    bench.go(&workload)?;
    let begun = "\"phase\": *\"running\"";
    bench.wait_until(
        workload.process_id,
        &format!("grep -q '{begun}' {}", workload.state),
    )?;
    bench.write_stream(STREAM, &workload, Some(node))?;
    let promotion = bench.start_promotion(&format!("--source stream:{STREAM}"))?;
    let promoted = bench.finish_promotion(promotion)?;
    bench.expect_proven(&Demand::all(&what, &[&workload], &promoted, &[node]))?;
    bench.end(&what, workload)?;
    Ok(())
}
