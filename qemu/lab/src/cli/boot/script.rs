// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A script that the guest runs in place of a shell.

use std::io::{self, Read};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;
use chmu_lab::machine::{Machine, MachineOptions, Software};
use chmu_lab::platform::GuestFile;
use chmu_lab::progress::Progress;
use chmu_lab::topology::Topology;

use crate::cli::guest_program;

/// Where the script is in the guest.
const PLACE: &str = "/script";
/// What a program starts with that the kernel can run by itself.
const PROGRAM_STARTS: [&[u8]; 2] = [b"#!", b"\x7fELF"];

/// A script, or any static program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script(Vec<u8>);

/// Reads a file at once, `-` for the standard input.
impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || match text {
            "-" => {
                let mut script = Vec::new();
                io::stdin().read_to_end(&mut script).map(|_| script)
            }
            file => std::fs::read(file),
        };
        read()
            .map(Self)
            .map_err(|error| format!("Cannot read the script {text}: {error}"))
    }
}

impl Script {
    /// The file that the guest's image needs for it.
    pub(super) fn file(&self) -> GuestFile {
        GuestFile::program(PLACE, self.0.clone())
    }

    fn command(&self) -> &'static [&'static str] {
        match PROGRAM_STARTS.iter().any(|start| self.0.starts_with(start)) {
            true => &[PLACE],
            false => &["sh", PLACE],
        }
    }

    /// Boots a guest, runs the script in it with its outputs on the lab's, and switches the guest
    /// off. Returns the script's exit code.
    pub(super) fn run(
        &self,
        topology: &Topology,
        options: &MachineOptions,
        software: &Software,
        progress: Progress,
    ) -> Result<ExitCode> {
        let mut machine = Machine::start(topology, options, software, &progress)?;
        // The terminal is the script's from here on.
        drop(progress);
        let code = guest_program::stream(&mut machine, self.command(), None)?;
        guest_program::shut_down(machine)?;
        Ok(guest_program::exit_code(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_cannot_run_is_for_the_shell() {
        let command = |text: &str| Script(text.as_bytes().to_vec()).command();
        assert_eq!(command("chmu list\n"), ["sh", PLACE]);
        assert_eq!(command("#!/bin/sh\n"), [PLACE]);
        assert_eq!(command("\x7fELF"), [PLACE]);
    }

    #[test]
    fn a_script_that_is_not_there_is_refused() {
        let error = "/no/such/script".parse::<Script>().unwrap_err();
        assert!(error.contains("Cannot read the script /no/such"), "{error}");
    }
}
