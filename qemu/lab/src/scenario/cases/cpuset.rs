// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A process that may not use the target: one actuator heeds that, the other says that it does not.

mod forbidden;

use anyhow::{Context, Result};
use chmu_proof::Claim;
use chmu_proof::workload::hot_set;
use chmu_spec::address::Pfn;

use super::control_group::{self, GROUP};
use crate::scenario::bench::{Bench, Promoted, Workload};
use crate::scenario::proof::{self, Demand};
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "cpuset",
    summary: "move_pages leaves pages of a process that may not use the target and says so; DAMON is blind to that, which is said",
    needs: Needs::topology("two-socket"),
    run: |bench| control_group::made(bench, "cpuset", with_group),
};

const PAGES: u64 = 2048;
const HOT: u64 = 384;
const SEED: u64 = 3;
/// The CXL node, whose target is node 0, and the other socket.
const ALLOWED: &str = "1-2";
/// What is hot is no question here, however slow the host is.
const SETTINGS: &str = "--threshold 16 --no-tune";

fn with_group(bench: &mut Bench<'_>) -> Result<()> {
    bench.shell(&format!("echo {ALLOWED} >{GROUP}/cpuset.mems"))?;
    let options = format!("--node 2 --pages {PAGES} --hot-pages {HOT}");
    let confined = bench.workload(&format!("{options} --seed {SEED}"))?;
    let free = bench.workload(&options)?;
    // What it alone maps of node 0 leaves that node with it.
    let join = format!("echo {} >{GROUP}/cgroup.procs", confined.process_id);
    bench.shell(&join)?;
    by_call(bench, &confined, &free)?;
    bench.end("free", free)?;
    by_damon(bench, &confined)?;
    bench.end("confined", confined)?;
    Ok(())
}

/// The kernel refuses the pages of the one process, each is said once, and moves the other's.
fn by_call(bench: &mut Bench<'_>, confined: &Workload, free: &Workload) -> Result<()> {
    let promotion = bench.start_promotion(&format!("--actuator move-pages {SETTINGS}"))?;
    bench.go(confined)?;
    bench.go(free)?;
    bench.wait_until_promoted(&promotion, free)?;
    bench.wait_for_lines(&promotion, "\"reason\":\"cpuset_forbids\"", HOT)?;
    bench.wait_for_reports(&promotion, 5)?;
    let promoted = bench.stop_promotion(promotion)?;
    bench.expect_proven(&Demand {
        options: "--minimum-recall 0.47",
        ..Demand::all("both", &[confined, free], &promoted, &[0])
    })?;
    let moved = bench.prove(&[confined], "--without-content")?;
    let moved = moved.counts.promoted_pages;
    bench.expect(moved == 0, || {
        format!("{moved} pages of a process that may not use node 0 were promoted")
    });
    bench.expect_placed("free", free, &[0])?;
    expect_said(bench, confined, &promoted)
}

/// The judgement of what the ledger says of the confined process's hot pages.
fn expect_said(bench: &mut Bench<'_>, confined: &Workload, promoted: &Promoted) -> Result<()> {
    let mut events = bench.events(promoted, "refused")?;
    events.extend(bench.events(promoted, "moved")?);
    let frames = bench.state(&confined.state)?.start_frames;
    let frames = frames.context("The workload does not know its frames")?;
    let hot = hot_set::choose(PAGES, HOT, SEED);
    let hot = hot
        .iter()
        .filter_map(|page| frames.get(usize::try_from(*page).ok()?));
    let said = forbidden::judge(&events, &hot.copied().map(Pfn).collect());
    bench.figure("said to be forbidden", said.pages);
    bench.figure("all that is said to be", said.frames);
    bench.reasons.extend(said.faults);
    Ok(())
}

/// DAMON moves them in spite of the cpuset, which `chmu promote` has said before.
fn by_damon(bench: &mut Bench<'_>, confined: &Workload) -> Result<()> {
    let promotion = bench.start_promotion(SETTINGS)?;
    bench.wait_until_promoted(&promotion, confined)?;
    let promoted = bench.stop_promotion(promotion)?;
    // Not that no others moved: what is the process's own beside its pages may be on node 2 too.
    let proof = bench.prove(&[confined], &format!("--ledger {}", promoted.ledger))?;
    bench.reasons.extend(proof::reasons(&proof, &Claim::ALL));
    let (said, process) = (&promoted.said, confined.process_id);
    let is_said = said.contains("heeds no cpusets") && said.contains(&format!("process {process}"));
    bench.figure("said of cpusets", is_said);
    bench.expect(is_said, || {
        format!("Nothing is said of a process that may not use node 0: {said:?}")
    });
    Ok(())
}
