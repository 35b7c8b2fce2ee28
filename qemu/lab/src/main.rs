// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab`: gets QEMU and Linux, boots the guest with the device, runs scenarios and tests.

use std::process::ExitCode;

use chmu::program;
use chmu_lab::machine::Interrupted;

mod cli;

fn main() -> ExitCode {
    let arguments: cli::Arguments = match program::parse_arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    program::start_log(arguments.verbose);
    cli::run(arguments).unwrap_or_else(|error| {
        if let Some(usage) = error.downcast_ref::<clap::Error>() {
            usage.exit();
        }
        let code = program::last_words(&error);
        match error.downcast_ref::<Interrupted>() {
            Some(interrupted) => ExitCode::from(interrupted.exit_code()),
            None => code,
        }
    })
}
