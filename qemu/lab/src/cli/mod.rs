// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command line of `cargo lab`.

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

mod boot;
mod demo;
mod doctor;
mod fetch;
mod output;
mod test;

/// Runs CXL hotness monitoring in a guest: gets QEMU and Linux, boots, promotes, tests.
#[derive(Debug, Parser)]
#[command(
    name = "cargo lab",
    bin_name = "cargo lab",
    version,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// Says more on stderr: once for info, twice for debug, three times for trace.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs a workload in a guest, promotes its hot pages by the device's hotlist, and proves it.
    Demo(demo::Options),
    /// Boots a guest with the device on this terminal, for a kernel or driver of your own.
    Boot(boot::Options),
    /// Says what this machine has, what it lacks and how to get it.
    Doctor(doctor::Options),
    /// Fetches QEMU, a kernel and busybox, so that later runs need no network.
    Fetch(fetch::Options),
    /// Runs all tests, those in guests included.
    Test(test::Options),
}

/// Runs the verb; the code tells a negative result from a failure to get one.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Boot(options) => boot::run(&options),
        Verb::Doctor(options) => doctor::run(&options),
        Verb::Fetch(options) => fetch::run(&options),
        Verb::Test(options) => test::run(options),
    }
}

/// Logs go to stderr; `RUST_LOG` overrides the level.
pub(crate) fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let environment = env_logger::Env::default().default_filter_or(level);
    env_logger::Builder::from_env(environment)
        .format_target(false)
        .init();
}

/// Prints the chain of causes, one numbered line each.
pub(crate) fn print_error(error: &anyhow::Error) {
    for (number, cause) in error.chain().enumerate() {
        eprintln!("{number}: {cause}");
    }
}
