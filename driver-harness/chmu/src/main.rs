// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! chmu: lists hotness monitoring units, promotes hot pages, judges devices.

use std::process::ExitCode;

use chmu::program;

mod cli;
mod reserve;

#[global_allocator]
static ALLOCATOR: reserve::WithReserve = reserve::WithReserve;

fn main() -> ExitCode {
    let arguments: cli::Arguments = match program::parse_arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    program::start_log(arguments.verbose);
    cli::run(arguments).unwrap_or_else(|error| program::last_words(&error))
}
