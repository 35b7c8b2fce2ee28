// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A frame that a promoted page left is soon somebody else's: what the device still reports about
//! it is about the page that has gone. A stranger touches 30,000 new pages once, one after the other,
//! while 2,048 hot pages are promoted (fewer on a slow machine), and so takes many of the frames that
//! these leave.

use std::time::Duration;

use anyhow::{Context, Result};
use chmu_proof::workload::report::WorkloadReport;
use serde_json::Value;

use crate::scenario::bench::{Bench, PROGRAM_TIMEOUT, Promoted, number, parse};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const QUIET: Scenario = Scenario {
    name: "reused-frames",
    summary: "a stranger takes frames that promoted pages left, and none of its pages is promoted",
    needs: Needs::topology("default"),
    run: |bench| run(bench, QUIET_LIMITS, 0),
};

pub(super) const LOADED: Scenario = Scenario {
    name: "reused-frames-loaded",
    summary: "the same while other programs keep the processors busy, so that all is late",
    needs: Needs::topology("default"),
    run: |bench| run(bench, LOADED_LIMITS, 2),
};

/// What makes a page hot.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// More than a page has that is filled with zeros, touched once and written back.
    threshold: u64,
    epoch_min_ms: u64,
}

const QUIET_LIMITS: Limits = Limits {
    threshold: 180,
    epoch_min_ms: 50,
};
const LOADED_LIMITS: Limits = Limits {
    threshold: 500,
    epoch_min_ms: 100,
};

const HOT_PAGES: u64 = 2048;
/// On a slow machine fewer are hot, so that each is often enough accessed; with less it is no trial.
const HOT_PAGES_MIN: u64 = 256;
/// In an epoch a hot page has so many times the accesses of the threshold, so that it is found although
/// counting slows the guest down.
const MARGIN: u64 = 6;

/// Longer epochs would outlast the stranger.
const EPOCH_MAX_MS: u64 = 10_000;

const FRAMES: &str = "/run/stranger-frames";
/// With fewer frames taken by the stranger it is no trial.
const REUSED_MIN: u64 = 64;

fn run(bench: &mut Bench<'_>, limits: Limits, busy: usize) -> Result<()> {
    let mut load = Vec::new();
    for _ in 0..busy {
        let words = ["sh", "-c", "while :; do :; done"];
        load.push(bench.machine.spawn(&words)?);
    }
    let ran = promote(bench, limits);
    for process_id in load {
        bench.machine.signal(process_id, libc::SIGKILL)?;
        bench.machine.wait(process_id, PROGRAM_TIMEOUT)?;
    }
    ran
}

fn promote(bench: &mut Bench<'_>, limits: Limits) -> Result<()> {
    let (epoch_ms, hot_pages) = pace(bench, limits)?;
    bench.figure("epoch in ms", epoch_ms);
    bench.figure("hot pages", hot_pages);
    let workload = bench.workload(&format!("--pages 8192 --hot-pages {hot_pages}"))?;
    let options = format!("--threshold {} --epoch {epoch_ms}ms", limits.threshold);
    let promotion = bench.start_promotion(&options)?;
    bench.go(&workload)?;
    let moved = format!("grep -q '\"e\":\"moved\"' {}", promotion.ledger);
    bench.wait_until(promotion.process_id, &moved)?;
    bench.shell(&format!("rm -f {FRAMES}"))?;
    let stranger =
        format!("chmu workload once --pages 30000 --pause-us 300 --frames {FRAMES} -o json");
    let stranger = bench.spawn(&stranger)?;
    bench.wait_until(stranger, &format!("[ -e {FRAMES} ]"))?;
    bench.wait_until_promoted(&promotion, &workload)?;
    let promoted = bench.stop_promotion(promotion)?;
    bench.machine.signal(stranger, libc::SIGTERM)?;
    let output = bench.machine.wait(stranger, PROGRAM_TIMEOUT)?;
    judge_stranger(bench, &parse("chmu workload once", &output)?, &promoted)?;
    bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &[0]))?;
    bench.end("workload", workload)?;
    Ok(())
}

/// The shortest epoch in milliseconds in which hot pages are hot on this machine, as it is now, and how many of them
/// are in the longest one.
fn pace(bench: &mut Bench<'_>, limits: Limits) -> Result<(u64, u64)> {
    let trial = format!("chmu workload --pages 8192 --hot-pages {HOT_PAGES} --seconds 2 -o json");
    let words: Vec<_> = trial.split_whitespace().collect();
    let output = bench.machine.run(&words, PROGRAM_TIMEOUT)?;
    let report: WorkloadReport = parse("chmu workload", &output)?;
    let milliseconds = Duration::try_from_secs_f64(report.seconds)?.as_millis();
    let accesses = report.accesses.reads.saturating_add(report.accesses.writes);
    let needed = u64::try_from(milliseconds)?
        .saturating_mul(MARGIN * limits.threshold * HOT_PAGES)
        .checked_div(accesses);
    let needed = needed.context("A workload accesses nothing")?;
    let hot_pages = (HOT_PAGES * EPOCH_MAX_MS / needed.max(EPOCH_MAX_MS)).max(HOT_PAGES_MIN);
    let epoch_ms = needed.clamp(limits.epoch_min_ms, EPOCH_MAX_MS);
    Ok((epoch_ms, hot_pages))
}

fn judge_stranger(bench: &mut Bench<'_>, report: &Value, promoted: &Promoted) -> Result<()> {
    let (touched, moved) = (
        number(report, "pages_touched")?,
        number(report, "pages_moved")?,
    );
    bench.figure("stranger's pages", touched);
    bench.figure("stranger's pages promoted", moved);
    bench.expect(moved == 0, || {
        format!("{moved} of {touched} pages that a stranger touched once were promoted")
    });
    // A ledger is long, and the line to the guest is slow.
    let (ledger, left) = (&promoted.ledger, "/run/left-frames");
    bench.shell(&format!(
        "sed -n '/\"e\":\"moved\"/ s/.*\"folio\":{{\"frame\":\\([0-9]*\\),\"pages\":1}}.*/\\1/p' \
         {ledger} >{left}"
    ))?;
    let left_frames: u64 = bench.shell(&format!("wc -l <{left}"))?.trim().parse()?;
    let reused = bench.shell(&format!(
        "sort -u {left} | cat - {FRAMES} | sort | uniq -d | wc -l"
    ))?;
    let reused: u64 = reused.trim().parse()?;
    bench.figure("frames that it took over", reused);
    bench.expect(reused >= REUSED_MIN, || {
        format!("The stranger took only {reused} of {left_frames} frames that promoted pages left")
    });
    Ok(())
}
