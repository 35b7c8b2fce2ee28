// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu watch` in a guest: what the units report.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT};
use serde_json::Value;

const LINES_FILE: &str = "/run/watch.jsonl";
const COARSE_UNITS: &str = "and does not say which of them is hot";

/// Units that count.
#[derive(Debug)]
pub(crate) struct Watch {
    process_id: u32,
    /// What each device had counted before.
    before: Vec<Value>,
}

/// What was reported from start to end.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) entries: Vec<Entry>,
    /// Units were lost, or lay in no page.
    pub(crate) lost: bool,
    /// What the driver read from each unit, by name.
    pub(crate) statistics: Value,
}

/// An entry of a hotlist.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Entry {
    pub(crate) unit: String,
    pub(crate) dpa: u64,
    pub(crate) hpa: u64,
    pub(crate) host_bytes: u64,
    pub(crate) count: u64,
}

impl Watch {
    /// Starts `chmu watch` and waits until every access is reported to the devices.
    pub(crate) fn start(guest: &mut Guest, options: &[&str]) -> Result<Self> {
        let devices = guest.topology().devices().len();
        let before: Result<_> = (0..devices).map(|index| guest.statistics(index)).collect();
        let before = before?;
        guest.shell(&format!("rm -f {LINES_FILE}"))?;
        let command = format!(
            "exec chmu watch -o json {} >{LINES_FILE}",
            options.join(" ")
        );
        let process_id = guest.spawn(&["sh", "-c", &command])?;
        guest.wait_until(process_id, &format!("[ -s {LINES_FILE} ]"))?;
        for device in 0..devices {
            guest.wait_for_statistics(device, "an armed plugin", |statistics| {
                let feed = &statistics["feed"];
                feed["armed"] == true && feed["acknowledged"] == true
            })?;
        }
        Ok(Self { process_id, before })
    }

    /// Waits until so many entries have been printed.
    pub(crate) fn wait_for_entries(&self, guest: &mut Guest, count: u64) -> Result<()> {
        let printed = format!("[ $(grep -c '\"hot\"' {LINES_FILE}) -ge {count} ]");
        guest.wait_until(self.process_id, &printed)
    }

    /// Waits until the epoch of the accesses made so far has ended.
    pub(crate) fn end_epoch(&self, guest: &mut Guest) -> Result<()> {
        for device in 0..self.before.len() {
            // Accesses are counted before the numbers of a device are told.
            let closed = instances(&guest.statistics(device)?, "epochs_closed");
            guest.wait_for_statistics(device, "the end of an epoch", |statistics| {
                instances(statistics, "epochs_closed") > closed
            })?;
        }
        Ok(())
    }

    /// Accesses that a device has counted since the start.
    pub(crate) fn counted(&self, guest: &mut Guest, device: usize) -> Result<u64> {
        let now = instances(&guest.statistics(device)?, "requests_counted");
        Ok(now - instances(&self.before[device], "requests_counted"))
    }

    /// Ends it and reads what it printed.
    pub(crate) fn stop(self, guest: &mut Guest) -> Result<Report> {
        guest.signal(self.process_id, libc::SIGTERM)?;
        let output = guest.wait(self.process_id, PROGRAM_TIMEOUT)?;
        // Whoever asks for units of several pages is told so each time.
        let mut complaints = output.stderr.lines();
        ensure!(
            output.exit_code == 0 && complaints.all(|line| line.contains(COARSE_UNITS)),
            "chmu watch ended with code {}: {}",
            output.exit_code,
            output.stderr
        );
        Report::parse(&guest.read(LINES_FILE)?)
    }
}

impl Report {
    fn parse(text: &str) -> Result<Self> {
        let mut report = Self {
            entries: Vec::new(),
            lost: false,
            statistics: Value::Null,
        };
        for line in text.lines() {
            let mut line: Value = serde_json::from_str(line)
                .with_context(|| format!("chmu watch prints no JSON: {line}"))?;
            if !line["hot"].is_null() {
                report
                    .entries
                    .push(serde_json::from_value(line["hot"].take())?);
            }
            report.lost |= !line["lost"].is_null();
            if !line["finished"].is_null() {
                report.statistics = line["finished"].take();
            }
        }
        ensure!(report.statistics.is_object(), "The last line is missing");
        Ok(report)
    }

    /// The sum of the counts of each unit, by the unit's name and place in its device.
    pub(crate) fn counts(&self) -> BTreeMap<(String, u64), u64> {
        let mut counts = BTreeMap::new();
        for entry in &self.entries {
            *counts.entry((entry.unit.clone(), entry.dpa)).or_default() += entry.count;
        }
        counts
    }
}

/// The sum of a counter over all instances of a device.
pub(crate) fn instances(statistics: &Value, counter: &str) -> u64 {
    let blocks = statistics["blocks"].as_array().into_iter().flatten();
    let instances = blocks.filter_map(Value::as_array).flatten();
    instances
        .filter_map(|instance| instance[counter].as_u64())
        .sum()
}
