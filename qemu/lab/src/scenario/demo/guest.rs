// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The demo's part inside the guest.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chmu_promotion::ledger::Event;
use serde::de::DeserializeOwned;

use super::Workload;
use super::evidence::{GuestEvidence, Promotion};
use crate::machine::{Machine, Output};
use crate::progress::Progress;

/// The guest's file with the truth about the workload.
const STATE_FILE: &str = "/run/workload.json";
/// The guest's file with all decisions of the promotion.
const LEDGER_FILE: &str = "/run/ledger.jsonl";
/// Filling the pages takes a second or two, on a busy machine more.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// Lines of the ledger, of some 300 bytes each; of what a program prints the agent keeps 4 MiB.
const EVENTS_MAX: usize = 10_000;
/// The longest promotion.
const PROMOTION_SECONDS: u64 = 60;
/// Reading every word of every page once.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);

/// Starts the workload, promotes what the device reports, and collects what the guest can say.
pub(super) fn promote_and_prove(
    machine: &mut Machine,
    workload: &Workload,
    progress: &Progress,
) -> Result<GuestEvidence> {
    progress.step("Placing the workload on the CXL node");
    let process_id = start_workload(machine, workload)?;
    progress.step("Promoting what the device reports");
    let promotion = promote(machine, process_id)?;
    progress.step("Proving that the right pages were promoted");
    let proof = machine.run(
        &[
            "chmu",
            "prove",
            "--state",
            STATE_FILE,
            "--ledger",
            LEDGER_FILE,
            "-o",
            "json",
        ],
        CHECK_TIMEOUT,
    )?;
    let proof = parse("chmu prove", &proof)?;
    let state = machine.read(STATE_FILE)?;
    let state = serde_json::from_str(&state).context("The workload's state is none")?;
    machine.signal(process_id, libc::SIGTERM)?;
    let report = machine.wait(process_id, CHECK_TIMEOUT)?;
    Ok(GuestEvidence {
        promotion,
        proof,
        state,
        report: parse("chmu workload", &report)?,
    })
}

/// Starts the workload and waits until its pages are in their place; it touches none yet.
fn start_workload(machine: &mut Machine, workload: &Workload) -> Result<u32> {
    let pages = workload.pages.to_string();
    let hot_pages = workload.hot_pages.to_string();
    let distribution = workload.distribution.to_string();
    let write_percent = workload.write_percent.to_string();
    let seed = workload.seed.to_string();
    let process_id = machine.spawn(&[
        "chmu",
        "workload",
        "--pages",
        &pages,
        "--hot-pages",
        &hot_pages,
        "--distribution",
        &distribution,
        "--write-percent",
        &write_percent,
        "--seed",
        &seed,
        "--state",
        STATE_FILE,
        "--wait",
        "--hold",
        "-o",
        "json",
    ])?;
    // The file appears whole. A workload that ends before it does has failed.
    let appears =
        format!("until [ -e {STATE_FILE} ]; do kill -0 {process_id} || exit 1; sleep 0.05; done");
    let waited = machine.run(&["sh", "-c", &appears], READY_TIMEOUT)?;
    if waited.exit_code != 0 || waited.timed_out {
        let output = machine.wait(process_id, Duration::from_secs(1))?;
        ensure!(
            false,
            "The workload does not start: {}",
            output.stderr.trim()
        );
    }
    Ok(process_id)
}

/// Promotes until nothing new is promoted, with the workload running.
fn promote(machine: &mut Machine, workload: u32) -> Result<Promotion> {
    let seconds = PROMOTION_SECONDS.to_string();
    let promoter = machine.spawn(&[
        "chmu",
        "promote",
        "--until-stable",
        "--seconds",
        &seconds,
        "--ledger",
        LEDGER_FILE,
        "-o",
        "json",
    ])?;
    machine.signal(workload, libc::SIGUSR1)?;
    let timeout = Duration::from_secs(PROMOTION_SECONDS) + CHECK_TIMEOUT;
    let output = machine.wait(promoter, timeout)?;
    parse("chmu promote", &output)
}

/// What the ledger says of reports and moves; none where that is more than can be drawn and handed out at once.
pub(super) fn events(machine: &mut Machine) -> Result<Option<Vec<Event>>> {
    let one_more = EVENTS_MAX + 1;
    let lines = format!("grep -m {one_more} -E '\"e\":\"(seen|moved)\"' {LEDGER_FILE} || true");
    let lines = machine.run_checked(&["sh", "-c", &lines], CHECK_TIMEOUT)?;
    let lines: Vec<_> = lines.lines().collect();
    if lines.len() > EVENTS_MAX {
        return Ok(None);
    }
    let events = lines.into_iter().map(serde_json::from_str);
    let events = events.collect::<serde_json::Result<_>>();
    Ok(Some(events.context("A line of the ledger is none")?))
}

/// The JSON object that a program wrote; its exit code may be that of a negative result.
fn parse<T: DeserializeOwned>(program: &str, output: &Output) -> Result<T> {
    let complaint = || {
        format!(
            "In the guest `{program}` ended with code {} and no result: {}",
            output.exit_code,
            output.stderr.trim()
        )
    };
    serde_json::from_str(&output.stdout).with_context(complaint)
}
