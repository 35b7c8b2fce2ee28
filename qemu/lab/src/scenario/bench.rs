// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a scenario does with its guest, and how it says what must be true.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chmu_promotion::ledger::Event;
use chmu_proof::workload::report::WorkloadReport;
use chmu_proof::workload::state::State;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Skip;
use super::proof::Demand;
use crate::kernel_log::Allowance;
use crate::machine::{Machine, Output};
use crate::progress::Progress;
use crate::topology::Topology;

/// What one program in the guest may take where nothing else is said; a busy host is slow.
pub(super) const PROGRAM_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest promotion; most end as soon as what is waited for has happened.
const PROMOTION_TIME: Duration = Duration::from_secs(300);

/// A workload rests so long after each time through its hot pages: one that never does takes the processors of
/// a guest that has two, and what it should show takes three times as long.
const PAUSE: &str = "--pause 20ms";

/// A promotion notices within this time that its source is lost, well before its own end.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(30);

/// True in the guest as soon as a unit counts.
pub(super) const ENABLED: &str = "chmu list -o json | tr -d ' \\n' | grep -q '\"enabled\":true'";

/// A guest, and what a scenario has found in it so far.
pub(super) struct Bench<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) topology: &'a Topology,
    pub(super) progress: &'a Progress,
    /// What is not as it must be.
    pub(super) reasons: Vec<String>,
    pub(super) figures: Map<String, Value>,
    /// What the guest's kernel may complain about.
    pub(super) allowances: Vec<Allowance>,
    workloads: u32,
    promotions: u32,
}

/// A workload that runs in the guest.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) process_id: u32,
    /// Its state file in the guest.
    pub(super) state: String,
    /// The node that its pages were put on.
    pub(super) node: u64,
}

/// A promotion that runs in the guest.
#[derive(Debug)]
pub(super) struct Promotion {
    pub(super) process_id: u32,
    /// The file in the guest that gets all its decisions.
    pub(super) ledger: String,
    /// It ends after this time in any case.
    time: Duration,
}

/// A promotion that has ended.
#[derive(Debug)]
pub(super) struct Promoted {
    /// What it printed.
    pub(super) report: Value,
    /// The file in the guest that has all its decisions.
    pub(super) ledger: String,
    /// What it complained about.
    pub(super) said: String,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        machine: &'a mut Machine,
        topology: &'a Topology,
        progress: &'a Progress,
    ) -> Self {
        Self {
            machine,
            topology,
            progress,
            reasons: Vec::new(),
            figures: Map::new(),
            allowances: Vec::new(),
            workloads: 0,
            promotions: 0,
        }
    }

    /// Says what is wrong unless `holds`.
    pub(super) fn expect(&mut self, holds: bool, reason: impl FnOnce() -> String) {
        if !holds {
            self.reasons.push(reason());
        }
    }

    /// Keeps a figure for the result.
    pub(super) fn figure(&mut self, name: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.figures.insert(name.to_owned(), value);
    }

    /// The scenario cannot be run here, for this reason.
    pub(super) fn skip<T>(reason: impl Into<String>) -> Result<T> {
        Err(Skip(reason.into()).into())
    }

    /// Runs a shell script that must succeed; returns what it printed, without the last newline.
    pub(super) fn shell(&mut self, script: &str) -> Result<String> {
        let text = self
            .machine
            .run_checked(&["sh", "-c", script], PROGRAM_TIMEOUT)?;
        Ok(text.trim_end().to_owned())
    }

    /// Whether a condition of the shell holds.
    pub(super) fn holds(&mut self, condition: &str) -> Result<bool> {
        let output = self
            .machine
            .run(&["sh", "-c", condition], PROGRAM_TIMEOUT)?;
        Ok(output.exit_code == 0 && !output.timed_out)
    }

    /// Starts `chmu workload` with these options, and waits until its pages are in their place. It
    /// touches none before [`Bench::go`].
    pub(super) fn workload(&mut self, options: &str) -> Result<Workload> {
        self.workload_below("", options)
    }

    /// The same behind a program that starts others, such as `taskset 1`.
    pub(super) fn workload_below(&mut self, starter: &str, options: &str) -> Result<Workload> {
        self.workloads += 1;
        let state = format!("/run/workload-{}.json", self.workloads);
        self.shell(&format!("rm -f {state}"))?;
        let pause = match options.contains("--pause") {
            true => "",
            false => PAUSE,
        };
        let words = format!(
            "{starter} chmu workload {options} {pause} --state {state} --wait --hold -o json"
        );
        let process_id = self.spawn(&words)?;
        self.wait_until(process_id, &format!("[ -e {state} ]"))?;
        let published = self.state(&state)?;
        Ok(Workload {
            process_id,
            state,
            node: published.node.0.into(),
        })
    }

    /// What a workload has published.
    pub(super) fn state(&mut self, path: &str) -> Result<State> {
        let text = self.machine.read(path)?;
        serde_json::from_str(&text).context("A workload's state is none")
    }

    /// Writes a file that `--source stream:FILE` reads: a report of the workload's hot pages, by their
    /// addresses, and of the node of those who access them, if that is known.
    pub(super) fn write_stream(
        &mut self,
        path: &str,
        workload: &Workload,
        accessor: Option<u64>,
    ) -> Result<()> {
        let state = self.state(&workload.state)?;
        let since_ns = state.hot_since_ns.context("No page is hot yet")?;
        let hot = state.hot_pages.iter().map(|page| {
            let address = state.address + page * state.page_bytes;
            json!({"pid": state.process_id, "address": address, "weight": 100})
        });
        let hot: Vec<_> = hot.collect();
        let line = json!({"t": since_ns + 1, "hot": hot, "accessor": accessor});
        self.shell(&format!("echo '{line}' >{path}"))?;
        Ok(())
    }

    /// Starts a program, its words separated by spaces.
    pub(super) fn spawn(&mut self, words: &str) -> Result<u32> {
        let words: Vec<_> = words.split_whitespace().collect();
        self.machine.spawn(&words)
    }

    /// Lets a workload touch its pages.
    pub(super) fn go(&mut self, workload: &Workload) -> Result<()> {
        self.machine.signal(workload.process_id, libc::SIGUSR1)
    }

    /// Promotes, with the workloads running, until nothing new is promoted.
    pub(super) fn promote(&mut self, workloads: &[&Workload], options: &str) -> Result<Promoted> {
        let promotion = self.start_promotion(&format!("--until-stable {options}"))?;
        for workload in workloads {
            self.go(workload)?;
        }
        self.finish_promotion(promotion)
    }

    /// Starts `chmu promote` with these options, and an end in any case.
    pub(super) fn start_promotion(&mut self, options: &str) -> Result<Promotion> {
        self.start_promotion_of(PROMOTION_TIME, options)
    }

    /// The same, with an end after this time.
    pub(super) fn start_promotion_of(
        &mut self,
        time: Duration,
        options: &str,
    ) -> Result<Promotion> {
        self.progress.step("Promoting what the device reports");
        self.promotions += 1;
        let ledger = format!("/run/ledger-{}.jsonl", self.promotions);
        let words = format!(
            "chmu promote --seconds {} --ledger {ledger} -o json {options}",
            time.as_secs()
        );
        let process_id = self.spawn(&words)?;
        Ok(Promotion {
            process_id,
            ledger,
            time,
        })
    }

    /// Waits for a promotion's end.
    pub(super) fn finish_promotion(&mut self, promotion: Promotion) -> Result<Promoted> {
        let timeout = promotion.time + PROGRAM_TIMEOUT;
        let output = self.machine.wait(promotion.process_id, timeout)?;
        Ok(Promoted {
            report: parse("chmu promote", &output)?,
            ledger: promotion.ledger,
            said: output.stderr,
        })
    }

    /// Ends a promotion that would go on.
    pub(super) fn stop_promotion(&mut self, promotion: Promotion) -> Result<Promoted> {
        self.machine.signal(promotion.process_id, libc::SIGTERM)?;
        self.finish_promotion(promotion)
    }

    /// The lines of a ledger of this kind, as its field `e` has it.
    pub(super) fn events(&mut self, promoted: &Promoted, kind: &str) -> Result<Vec<Event>> {
        let lines = self.shell(&format!(
            "grep -F '\"e\":\"{kind}\"' {} || true",
            promoted.ledger
        ))?;
        let lines = lines.lines().map(serde_json::from_str);
        let events = lines.collect::<serde_json::Result<_>>();
        events.context("A line of the ledger is none")
    }

    /// A promotion whose only source fails must say one of these reasons, name the device's unit, and end
    /// with an error well before its time.
    pub(super) fn expect_lost(&mut self, promotion: Promotion, reasons: &[&str]) -> Result<()> {
        let ended = self.machine.wait(promotion.process_id, NOTICE_TIMEOUT)?;
        let (code, said) = (ended.exit_code, ended.stderr.trim());
        self.figure("said of the loss", said);
        self.expect(
            code == 1 && said.contains("mem0") && reasons.iter().any(|why| said.contains(why)),
            || format!("The loss of its unit ends a promotion with {code} and {said:?}"),
        );
        Ok(())
    }

    /// Ends a workload, whose content must be whole; returns what it says.
    pub(super) fn end(&mut self, what: &str, workload: Workload) -> Result<WorkloadReport> {
        self.progress.step("Checking what the pages hold");
        self.machine.signal(workload.process_id, libc::SIGTERM)?;
        let output = self.machine.wait(workload.process_id, PROGRAM_TIMEOUT)?;
        let report: WorkloadReport = parse("chmu workload", &output)?;
        let verification = &report.verification;
        self.expect(report.is_right() && verification.pages_checked > 0, || {
            format!("{what}: pages do not hold what was written to them: {verification:?}")
        });
        Ok(report)
    }

    /// Starts a workload, promotes what the devices report, and judges the lot.
    pub(super) fn promote_one(
        &mut self,
        workload: &str,
        promotion: &str,
        targets: &[u64],
    ) -> Result<()> {
        let workload = self.workload(workload)?;
        let promoted = self.promote(&[&workload], promotion)?;
        self.figure("batches", &promoted.report["batches"]);
        self.expect_proven(&Demand::all("workload", &[&workload], &promoted, targets))?;
        self.end("workload", workload)?;
        Ok(())
    }
}

/// A field that a report must have.
pub(super) fn number(object: &Value, key: &str) -> Result<u64> {
    let value = object[key].as_u64();
    value.with_context(|| format!("A report has no number {key}: {object}"))
}

/// The JSON that a program wrote; its exit code may be that of a negative result.
pub(super) fn parse<T: DeserializeOwned>(program: &str, output: &Output) -> Result<T> {
    ensure!(!output.timed_out, "In the guest `{program}` did not end");
    serde_json::from_str(&output.stdout).with_context(|| {
        format!(
            "In the guest `{program}` ended with code {} and no result: {}",
            output.exit_code,
            output.stderr.trim()
        )
    })
}
