// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A thousand processes of 4 MiB would need 4 GiB on the CXL node; the default machine has 1 GiB there. As
//! many with 256 KiB each take 250 MiB.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::scenario::bench::{Bench, Workload, parse};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "many-processes",
    summary: "1000 processes with 4 hot pages of 64 each: all of these are promoted, for every process",
    needs: Needs::topology("default"),
    run,
};

const PROCESSES: u32 = 1000;
const HOT_EACH: u32 = 4;
const FOLDER: &str = "/run/many";
/// Of each process in every second round one page has 64 accesses, more on a host that gives the guest its
/// processors: a round is two seconds and what a thousand processes need for theirs.
const TRAFFIC: &str = "--pages 64 --hot-pages 4 --cold-percent 0 --pause 2s";
const SETTINGS: &str = "--threshold 16 --epoch 4s";
/// However slow the host is, it goes on all the time: this long without anything new is a failure.
const IDLE_SECONDS: u64 = 120;
/// The longest time for anything that goes on.
const TIMEOUT: Duration = Duration::from_secs(1200);

fn run(bench: &mut Bench<'_>) -> Result<()> {
    bench.shell(&format!("mkdir {FOLDER}"))?;
    let list = format!("{FOLDER}/state");
    let parent = bench.spawn(&format!(
        "chmu workload --processes {PROCESSES} {TRAFFIC} --state {list} --wait --hold -o json"
    ))?;
    // One file for each process, and the list of all.
    let files = format!("ls {FOLDER} | wc -l");
    wait_for_progress(bench, parent, &files, u64::from(PROCESSES) + 1)?;
    bench.wait_until(parent, &format!("[ -s {list} ]"))?;
    let node = bench.state(&format!("{list}-1"))?.node;
    let workloads: Vec<_> = (1..=PROCESSES)
        .map(|number| Workload {
            process_id: parent,
            state: format!("{list}-{number}"),
            node: node.0.into(),
        })
        .collect();
    let workloads: Vec<_> = workloads.iter().collect();
    let promotion = bench.start_promotion_of(TIMEOUT, SETTINGS)?;
    bench.machine.signal(parent, libc::SIGUSR1)?;
    let moved = format!("grep -cF '\"e\":\"moved\"' {}", promotion.ledger);
    let all = u64::from(PROCESSES * HOT_EACH);
    wait_for_progress(bench, promotion.process_id, &moved, all)?;
    let promoted = bench.stop_promotion(promotion)?;
    bench.figure("batches", &promoted.report["batches"]);
    bench.expect_proven(&Demand {
        // With less, several processes could go without.
        options: "--minimum-recall 1.0",
        ..Demand::all("processes", &workloads, &promoted, &[0])
    })?;
    bench.machine.signal(parent, libc::SIGTERM)?;
    let output = bench.machine.wait(parent, TIMEOUT)?;
    let report: Value = parse("chmu workload", &output)?;
    let wrong = report["wrong"].as_array();
    bench.expect(wrong.is_some_and(Vec::is_empty), || {
        format!("Processes do not find their pages whole: {report}")
    });
    bench.shell(&format!("rm -r {FOLDER}"))?;
    Ok(())
}

/// Waits until what a script counts is so many, as long as it gets more and the spawned process lives.
fn wait_for_progress(bench: &mut Bench<'_>, process_id: u32, count: &str, all: u64) -> Result<()> {
    let script = format!(
        "most=0; idle=0; until now=$({count}); [ ${{now:-0}} -ge {all} ]; do \
         kill -0 {process_id} && [ $idle -lt {IDLE_SECONDS} ] || {{ echo $now after $(cut -d' ' -f1 /proc/uptime) s; exit 1; }}; \
         if [ ${{now:-0}} -gt $most ]; then most=$now; idle=0; else idle=$((idle + 1)); fi; sleep 1; done"
    );
    let waited = bench.machine.run(&["sh", "-c", &script], TIMEOUT)?;
    ensure!(
        waited.exit_code == 0 && !waited.timed_out,
        "`{count}` does not come to {all}: {}",
        waited.stdout.trim()
    );
    Ok(())
}
