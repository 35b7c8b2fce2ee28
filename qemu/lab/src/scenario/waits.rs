// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How a scenario waits for what is to happen in its guest: for as long as there is progress.

use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use chmu_machine::words;
use serde_json::Value;

use super::bench::{Bench, PROGRAM_TIMEOUT, Promotion, Workload};

/// The part of the hot pages that a proof demands to be promoted.
const ENOUGH: f64 = 0.95;

/// Every thread of every program: its number and name, state, user and system time, and what it waits for.
const DOING: &str = "for thread in /proc/[0-9]*/task/[0-9]*; do grep -q . ${thread%/task/*}/cmdline || continue; \
    echo ${thread##*/} $(cat $thread/comm) $(cut -d' ' -f3,14,15 $thread/stat) $(cat $thread/wchan); \
    done 2>/dev/null; true";

impl Bench<'_> {
    /// Waits until a condition of the shell holds, as long as the spawned process lives.
    pub(super) fn wait_until(&mut self, process_id: u32, condition: &str) -> Result<()> {
        self.wait(process_id, condition, "0.05")
    }

    /// The same, with a pause of so many seconds between two looks: one that costs more than a moment takes the
    /// time of what it looks for.
    fn wait(&mut self, process_id: u32, condition: &str, pause: &str) -> Result<()> {
        let script =
            format!("until {condition}; do kill -0 {process_id} || exit 1; sleep {pause}; done");
        let waited = self.machine.run(&["sh", "-c", &script], PROGRAM_TIMEOUT)?;
        if waited.timed_out {
            return Err(self.never(&format!("`{condition}` does not come true"))?);
        }
        match waited.exit_code {
            0 => Ok(()),
            _ => Err(self.too_early(process_id, &format!("`{condition}` was true"))?),
        }
    }

    /// What there is to say when something does not happen.
    fn never(&mut self, what: &str) -> Result<anyhow::Error> {
        let doing = self.shell(DOING)?;
        let listed = self.shell("chmu list -o json; true")?;
        let counted = self.counted();
        Ok(anyhow!(
            "{what}; meanwhile programs do this:\n{doing}\nthe units are: {listed}\nand devices have counted: \
             {counted}"
        ))
    }

    /// What there is to say when a program ends before something has happened.
    fn too_early(&mut self, process_id: u32, what: &str) -> Result<anyhow::Error> {
        let output = self.machine.wait(process_id, PROGRAM_TIMEOUT)?;
        Ok(anyhow!(
            "A program ended with code {} before {what}: {}",
            output.exit_code,
            output.stderr.trim()
        ))
    }

    /// What the devices have counted, as far as they answer.
    fn counted(&mut self) -> Value {
        let devices = self.machine.device_sockets();
        let devices = devices.iter();
        devices
            .map(|device| device.statistics().unwrap_or_default())
            .collect()
    }

    /// Waits until the ledger of a promotion that runs has so many lines with this text, for as long as
    /// there are more and more of them.
    pub(super) fn wait_for_lines(
        &mut self,
        promotion: &Promotion,
        text: &str,
        lines: u64,
    ) -> Result<()> {
        let wanted = words::count(lines, "line", "lines");
        self.progress
            .step(format!("Waiting until the ledger has {wanted} with {text}"));
        let counted = format!("grep -cF '{text}' {}", promotion.ledger);
        loop {
            // Before the first line there may be no file.
            let there = self.shell(&format!("{counted} 2>/dev/null || true"))?;
            let there = there.parse().unwrap_or(0_u64);
            if there >= lines {
                return Ok(());
            }
            let more = format!("[ \"$({counted} 2>/dev/null || true)\" -gt {there} ] 2>/dev/null");
            self.wait(promotion.process_id, &more, "0.2")?;
        }
    }

    /// Waits until as many of a workload's pages that are hot now are promoted as a proof demands, for as long as
    /// there are more and more of them.
    pub(super) fn wait_until_promoted(
        &mut self,
        promotion: &Promotion,
        workload: &Workload,
    ) -> Result<()> {
        self.progress
            .step("Waiting until the hot pages are promoted");
        let (mut most, mut since) = (0.0, Instant::now());
        loop {
            let proof = self.prove(&[workload], "--without-content")?;
            // None before the first page is hot.
            let recall = proof.recall.unwrap_or_default();
            if recall >= ENOUGH {
                return Ok(());
            }
            if recall > most {
                (most, since) = (recall, Instant::now());
            }
            if since.elapsed() > PROGRAM_TIMEOUT {
                let what = format!("Of the hot pages {most} are promoted, and no more");
                return Err(self.never(&what)?);
            }
            // A look costs much, and would take the time of the promotion.
            if !self.holds(&format!("sleep 1; kill -0 {}", promotion.process_id))? {
                return Err(self.too_early(promotion.process_id, "all hot pages were promoted")?);
            }
        }
    }

    /// Waits until the sources of a promotion that runs have reported so many times more.
    pub(super) fn wait_for_reports(&mut self, promotion: &Promotion, reports: u64) -> Result<()> {
        let text = "\"e\":\"source\"";
        let until_now = self.shell(&format!("grep -cF '{text}' {}; true", promotion.ledger))?;
        let until_now: u64 = until_now.parse().context("No lines are counted")?;
        self.wait_for_lines(promotion, text, until_now + reports)
    }
}
