// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu workload script` in a guest: chosen pages, touched exactly as often as told.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT};
use serde_json::Value;

/// Bytes of a page and, in the touches of a script, of a line.
pub(crate) const PAGE_BYTES: u64 = 4096;
pub(crate) const LINE_BYTES: u64 = 64;
const PAGE_LINES: u64 = PAGE_BYTES / LINE_BYTES;

/// Loads and then stores of one page, each of the next line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Touches {
    pub(crate) page: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
}

impl Touches {
    pub(crate) const fn new(page: u64, reads: u64, writes: u64) -> Self {
        Self {
            page,
            reads,
            writes,
        }
    }

    /// How often the script accesses each line of the page.
    fn lines(self) -> impl Iterator<Item = u64> {
        (0..self.reads)
            .chain(0..self.writes)
            .zip((0..PAGE_LINES).cycle())
            .map(|(_, line)| line)
    }
}

/// A script whose pages are filled and in their place.
#[derive(Debug)]
pub(crate) struct Script {
    process_id: u32,
    state_file: String,
    touches: Vec<Touches>,
    /// The frame of each page.
    frames: Vec<u64>,
}

impl Script {
    /// Places `pages` pages on the CXL node. The script runs on processor 0 only, so that it stays
    /// behind one cache of the plugin.
    pub(crate) fn prepare(guest: &mut Guest, pages: u64, touches: &[Touches]) -> Result<Self> {
        Self::prepare_on(guest, 0, pages, touches)
    }

    /// The same on another processor.
    pub(crate) fn prepare_on(
        guest: &mut Guest,
        processor: u32,
        pages: u64,
        touches: &[Touches],
    ) -> Result<Self> {
        let state_file = format!("/run/script-{processor}.json");
        guest.shell(&format!("rm -f {state_file}"))?;
        let processor = format!("{:x}", 1_u64 << processor);
        let pages = pages.to_string();
        let words: Vec<_> = touches
            .iter()
            .map(|touches| {
                format!(
                    "--touch={}:{}:{}",
                    touches.page, touches.reads, touches.writes
                )
            })
            .collect();
        let mut command = vec!["taskset", &processor, "chmu", "workload", "script"];
        command.extend([
            "--pages",
            &pages,
            "--state",
            &state_file,
            "--wait",
            "--hold",
            "-o",
            "json",
        ]);
        command.extend(words.iter().map(String::as_str));
        let process_id = guest.spawn(&command)?;
        guest.wait_until(process_id, &format!("[ -e {state_file} ]"))?;
        let state: Value = serde_json::from_str(&guest.read(&state_file)?)?;
        let frames = state["start_frames"]
            .as_array()
            .context("The script's state names no frames")?;
        Ok(Self {
            process_id,
            state_file,
            touches: touches.to_vec(),
            frames: frames.iter().filter_map(Value::as_u64).collect(),
        })
    }

    /// The frame that holds a page.
    pub(crate) fn frame(&self, page: u64) -> Result<u64> {
        let frame = self.frames.get(usize::try_from(page)?);
        frame
            .copied()
            .with_context(|| format!("Page {page} has no frame"))
    }

    /// How often the script accesses each line, by the line's address in the guest.
    pub(crate) fn accesses(&self) -> Result<BTreeMap<u64, u64>> {
        let mut accesses = BTreeMap::new();
        for touches in &self.touches {
            let start = self.frame(touches.page)? * PAGE_BYTES;
            for line in touches.lines() {
                *accesses.entry(start + line * LINE_BYTES).or_default() += 1;
            }
        }
        Ok(accesses)
    }

    /// Touches the pages, and waits for the last touch.
    pub(crate) fn run(&self, guest: &mut Guest) -> Result<()> {
        guest.signal(self.process_id, libc::SIGUSR1)?;
        let finished = format!("grep -q '\"phase\":\"finished\"' {}", self.state_file);
        guest.wait_until(self.process_id, &finished)
    }

    /// Lets the pages go; they must hold what was written to them.
    pub(crate) fn end(self, guest: &mut Guest) -> Result<()> {
        guest.signal(self.process_id, libc::SIGTERM)?;
        let output = guest.wait(self.process_id, PROGRAM_TIMEOUT)?;
        let report: Value = serde_json::from_str(&output.stdout)
            .with_context(|| format!("The script reports nothing: {}", output.stderr))?;
        ensure!(report["corrupt_pages"] == 0, "Pages are corrupt: {report}");
        let total = |direction: fn(&Touches) -> u64| self.touches.iter().map(direction).sum();
        let (reads, writes): (u64, u64) = (
            total(|touches| touches.reads),
            total(|touches| touches.writes),
        );
        ensure!(
            report["reads"] == reads && report["writes"] == writes,
            "The script was to load {reads} and store {writes} times: {report}"
        );
        Ok(())
    }
}
