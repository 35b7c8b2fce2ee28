// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chmu_promotion::Rejection;
use chmu_promotion::ledger::{Action, Event};
use chmu_proof::workload::hot_set;

use crate::scenario::bench::Bench;
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "pinned",
    summary: "hot pages that somebody holds stay, each is said once, and all other hot ones are promoted",
    needs: Needs::topology("default"),
    run,
};

const PAGES: u64 = 2048;
const HOT: u64 = 512;
const PINNED: u64 = 100;
const SEED: u64 = 3;

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let options =
        format!("--pages {PAGES} --hot-pages {HOT} --pinned-pages {PINNED} --seed {SEED}");
    let workload = bench.workload(&options)?;
    let promotion = bench.start_promotion("")?;
    bench.go(&workload)?;
    bench.wait_for_lines(&promotion, "\"reason\":\"pinned\"", PINNED)?;
    // What is said twice would be said by then.
    bench.wait_for_reports(&promotion, 5)?;
    let promoted = bench.stop_promotion(promotion)?;
    let proof = bench.expect_proven(&Demand {
        options: "--minimum-recall 0.8",
        ..Demand::all("workload", &[&workload], &promoted, &[0])
    })?;
    let moved = proof.counts.promoted_hot_pages;
    bench.figure("promoted hot pages", moved);
    bench.expect(moved == HOT - PINNED, || {
        format!("{moved} hot pages were promoted; {HOT} are hot and {PINNED} of them pinned")
    });
    let frames = bench.state(&workload.state)?.start_frames;
    let frames = frames.context("The workload does not know its frames")?;
    // The workload holds the first that it visits.
    let hot = hot_set::choose(PAGES, HOT, SEED);
    let pinned = &hot[..usize::try_from(PINNED)?];
    let held = pinned
        .iter()
        .filter_map(|page| frames.get(usize::try_from(*page).ok()?));
    let said = said_of(&bench.events(&promoted, "refused")?);
    let expected: BTreeMap<_, _> = held.map(|frame| (*frame, 1)).collect();
    bench.figure("said to be pinned", said.len());
    bench.expect(said == expected, || {
        let sum: u64 = said.values().sum();
        format!(
            "{PINNED} pages are held; {sum} times it is said of {} that they are",
            said.len()
        )
    });
    bench.end("workload", workload)?;
    Ok(())
}

/// How often each frame is said to be pinned.
fn said_of(events: &[Event]) -> BTreeMap<u64, u64> {
    let mut said = BTreeMap::new();
    for event in events {
        if let Action::Refused(refused) = &event.action
            && refused.reason == Rejection::Pinned
        {
            *said.entry(refused.folio.head.0).or_default() += 1;
        }
    }
    said
}
