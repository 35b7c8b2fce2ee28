// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A page is spread over all devices of its window. Whether a unit covers bytes of one page only
//! depends on the ways: of two, each has 2 KiB of a page in a row of its own; of three, only 256
//! bytes surely belong to one page.

use anyhow::Result;

use crate::scenario::bench::Bench;
use crate::scenario::{Needs, Scenario};

pub(super) const TWO: Scenario = Scenario {
    name: "interleaved-2",
    summary: "units of half a page on two interleaved devices name hot pages exactly",
    needs: Needs::topology("interleaved-2"),
    run: |bench| run(bench, "2K"),
};

pub(super) const THREE: Scenario = Scenario {
    name: "interleaved-3",
    summary: "units of one granule on three interleaved devices name hot pages exactly",
    needs: Needs::topology("interleaved-3"),
    run: |bench| run(bench, "256"),
};

fn run(bench: &mut Bench<'_>, unit_size: &str) -> Result<()> {
    // So long that units of a few lines are hot on a slow machine, too; a cold one has a hundredth of that.
    let options = format!("--unit-size {unit_size} --threshold 6 --epoch 500ms");
    bench.promote_one(
        "--pages 2048 --hot-pages 384 --cold-percent 0.5",
        &options,
        &[0],
    )
}
