// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab`: gets QEMU and Linux, boots the guest with the device, runs scenarios and tests.

use std::process::ExitCode;

use clap::Parser;

mod cli;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    cli::start_log(arguments.verbose);
    match cli::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            cli::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
