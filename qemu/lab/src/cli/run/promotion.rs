// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The promotion that runs beside a program.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};
use chmu::program;
use chmu_lab::machine::Machine;

use super::shell;

/// In the guest; has all decisions.
const LEDGER: &str = "/run/promotion.jsonl";
/// Longer than anybody waits for a program: it is told when to stop.
const SECONDS: &str = "31536000";
/// Starts the part of its result that has a line for each epoch: the ledger says more, and a run is long.
const EPOCHS: &str = "by epochs of";
/// It has a batch to finish, on a machine that may be busy.
const END_TIMEOUT: Duration = Duration::from_secs(120);

/// What `--promote` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Promotion {
    options: String,
}

/// A promotion that runs in the guest.
#[derive(Debug)]
pub(super) struct Promoting {
    process_id: u32,
}

impl FromStr for Promotion {
    type Err = Infallible;

    fn from_str(options: &str) -> Result<Self, Infallible> {
        Ok(Self {
            options: options.to_owned(),
        })
    }
}

impl Promotion {
    /// Starts it, and waits until its sources watch.
    pub(super) fn start(&self, machine: &mut Machine) -> Result<Promoting> {
        let command = format!(
            "exec chmu promote --seconds {SECONDS} --ledger {LEDGER} {}",
            self.options
        );
        let process_id = machine.spawn(&["sh", "-c", &command])?;
        let begun = format!(
            "until chmu status >/dev/null 2>&1; do kill -0 {process_id} || exit 1; sleep 0.1; done"
        );
        if shell(machine, &begun).is_err() {
            let output = machine.wait(process_id, END_TIMEOUT)?;
            bail!("chmu promote does not start: {}", output.stderr.trim());
        }
        Ok(Promoting { process_id })
    }
}

impl Promoting {
    /// Ends it, and tells the user what it did, on stderr: stdout is the program's.
    pub(super) fn finish(self, machine: &mut Machine) -> Result<()> {
        machine.signal(self.process_id, libc::SIGTERM)?;
        let output = machine.wait(self.process_id, END_TIMEOUT)?;
        output.stderr.lines().for_each(program::say);
        let lines = output.stdout.lines();
        let sums = lines.take_while(|line| !line.starts_with(EPOCHS));
        sums.filter(|line| !line.is_empty()).for_each(program::say);
        Ok(())
    }
}
