// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeSet;

use anyhow::Result;

use crate::scenario::bench::{Bench, Workload};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "moving-hot-set",
    summary: "when other pages become hot they are promoted too, and none that never was hot",
    needs: Needs::topology("default"),
    run,
};

/// The policy's patience, after which what waits is no longer promoted, and the time of a report and
/// of a batch.
const LATENESS: &str = "--lateness 13s";

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 4096 --hot-pages 512")?;
    let promotion = bench.start_promotion("")?;
    bench.go(&workload)?;
    bench.wait_until_promoted(&promotion, &workload)?;
    // The next hot pages.
    bench.go(&workload)?;
    bench.wait_until(promotion.process_id, &has_moved(&workload))?;
    bench.wait_until_promoted(&promotion, &workload)?;
    let promoted = bench.stop_promotion(promotion)?;
    let proof = bench.expect_proven(&Demand {
        options: LATENESS,
        ..Demand::all("workload", &[&workload], &promoted, &[0])
    })?;
    let state = bench.state(&workload.state)?;
    let earlier = state.earlier_hot_sets.iter().flat_map(|set| &set.pages);
    let ever: BTreeSet<_> = earlier.chain(&state.hot_pages).collect();
    let (moved, ever) = (proof.counts.promoted_pages, ever.len() as u64);
    bench.figure("pages that were ever hot", ever);
    bench.figure("promoted pages", moved);
    bench.expect(moved * 100 >= ever * 95, || {
        format!("Of {ever} pages that were hot at some time {moved} were promoted")
    });
    bench.end("workload", workload)?;
    Ok(())
}

/// A condition that comes true when other pages have become hot.
fn has_moved(workload: &Workload) -> String {
    format!("tr -d ' \\n' <{} | grep -q '\"from_ns\":'", workload.state)
}
