// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab`: gets QEMU and Linux, boots the guest with the device, runs scenarios and tests.

use std::process::ExitCode;

use chmu_harness::program;
use chmu_lab::machine::Interrupted;
use clap::Parser;

mod cli;

/// As a shell has it for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    program::start_log(arguments.verbose);
    match cli::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            program::print_error(&error);
            match error.is::<Interrupted>() {
                true => ExitCode::from(INTERRUPTED),
                false => ExitCode::FAILURE,
            }
        }
    }
}
