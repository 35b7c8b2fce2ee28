// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab`: gets QEMU and Linux, boots the guest with the device, runs scenarios and tests.

use std::process::ExitCode;

use chmu_harness::program;
use chmu_lab::machine::Interrupted;
use chmu_lab::output::{self, PrintError};
use clap::Parser;
use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

mod cli;

/// As a shell has it for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    program::start_log(arguments.verbose);
    let error = match cli::run(arguments) {
        Ok(code) => return code,
        Err(error) => error,
    };
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        usage.exit();
    }
    if let Some(PrintError::Closed) = error.downcast_ref() {
        // As any tool ends whose reader has left; until here the signal was ignored, so that all
        // that had to be cleaned up is.
        let _ = emulate_default_handler(SIGPIPE);
    }
    output::note_error(&error);
    match error.is::<Interrupted>() {
        true => ExitCode::from(INTERRUPTED),
        false => ExitCode::FAILURE,
    }
}
