// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What QEMU is told beside the lab's own options.

use anyhow::{Context, Result};
use chmu_lab::machine::MachineOptions;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "QEMU")]
#[group(skip)]
pub(in crate::cli) struct Options {
    /// Another device for the guest, as behind QEMU's -device; without bus= it sits beside the CXL
    /// host bridge.
    #[arg(long, value_name = "DEVICE")]
    device: Vec<String>,
    /// Options for QEMU, after the lab's; quoted as for a shell.
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    qemu_args: Vec<String>,
}

impl Options {
    pub(in crate::cli) fn apply_to(&self, options: &mut MachineOptions) -> Result<()> {
        for device in &self.device {
            options
                .qemu_arguments
                .extend(["-device".to_owned(), device.clone()]);
        }
        for text in &self.qemu_args {
            let words = shlex::split(text)
                .with_context(|| format!("--qemu-args has an unclosed quote: {text}"))?;
            options.qemu_arguments.extend(words);
        }
        Ok(())
    }
}
