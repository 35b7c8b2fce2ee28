// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! chmu: lists hotness monitoring units, promotes hot pages, judges devices.

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
