// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! chmu: lists hotness monitoring units, promotes hot pages, judges devices.

use std::process::ExitCode;

use chmu_harness::program;
use clap::Parser;

mod cli;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    program::start_log(arguments.verbose);
    match cli::run(arguments) {
        Ok(code) => code,
        Err(error) if program::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            program::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
