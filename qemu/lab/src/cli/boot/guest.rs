// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the guest runs.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use chmu_lab::machine::{MachineOptions, MemoryAs, Mode};

use super::script::Script;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Guest")]
#[group(skip)]
pub(super) struct Options {
    /// Which driver the lab's initramfs gives the device.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// What the CXL memory is in the lab's initramfs.
    #[arg(long, value_enum, default_value_t)]
    memory_as: MemoryAs,
    /// Initramfs of your own; it boots behind the lab's ACPI tables.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["run", "own_modules", "guest_files", "packages", "tools"]
    )]
    initrd: Option<PathBuf>,
    /// Words for the kernel's command line, after the lab's.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Script or static program of yours that the guest runs in place of a shell, - for stdin. Its
    /// outputs are the lab's, and so is its exit code.
    #[arg(long, value_name = "SCRIPT", conflicts_with_all = ["reboot", "dry_run"])]
    pub(super) run: Option<Script>,
    /// Lets the guest restart; otherwise a restart ends the run.
    #[arg(long)]
    reboot: bool,
}

impl Options {
    pub(super) fn apply_to(&self, options: &mut MachineOptions) -> Result<()> {
        ensure!(
            !(self.mode == Mode::Vfio && self.memory_as == MemoryAs::Dax),
            "--memory-as dax needs Linux' CXL drivers on the device, which --mode vfio keeps away; \
             leave one of the two out"
        );
        options.mode = self.mode;
        options.memory_as = self.memory_as;
        if self.run.is_none() {
            options.append.push("chmu.shell".to_owned());
        }
        options.append.extend(self.append.iter().cloned());
        options.may_reboot = self.reboot;
        Ok(())
    }

    /// Whether the user's initramfs takes the place of the lab's.
    pub(super) fn has_initramfs(&self) -> bool {
        self.initrd.is_some()
    }

    /// The user's initramfs.
    pub(super) fn initramfs(&self) -> Result<Option<Vec<u8>>> {
        let read = |file: &PathBuf| {
            std::fs::read(file).with_context(|| format!("Cannot read {}", file.display()))
        };
        self.initrd.as_ref().map(read).transpose()
    }
}
