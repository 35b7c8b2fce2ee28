// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command line of `cargo lab`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Command, CommandFactory, Parser, Subcommand};

mod bench;
mod boot;
mod compare;
mod demo;
mod doctor;
mod fetch;
mod guest_program;
mod jobs;
mod keep;
mod kernel_config;
mod mutants;
mod names;
mod result_file;
mod run;
mod runs;
mod scenario;
mod storage;
mod test;
mod workloads;

/// Below the help.
const ENDS: &str = "\
Results are on stdout, for people or, with -o json, for programs. All else is on stderr.
Exit codes: 0 done, 1 failed or a negative result, 2 wrong usage, 3 worse than before (diff),
100 tests failed,
130, 143 and 129 ended by SIGINT, SIGTERM and SIGHUP, 141 nobody reads the output.";

/// Runs CXL hotness monitoring in a guest: gets QEMU and Linux, boots, promotes, tests.
#[derive(Debug, Parser)]
#[command(
    name = "cargo lab",
    bin_name = "cargo lab",
    version,
    max_term_width = 100,
    after_help = ENDS
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
    /// Measures what the plugin and the engine cost, each against a floor of the same run.
    Bench(Box<bench::Options>),
    /// Boots a guest with the device on this terminal, for a kernel or driver of your own.
    Boot(Box<boot::Options>),
    /// Runs the same workloads under several ways to move pages between tiers, and compares them.
    Compare(Box<compare::Options>),
    /// Holds the figures of a run that was kept against those of another, and ends with 3 where they are worse.
    Diff(runs::DiffOptions),
    /// Says what this machine has, what it lacks and how to get it.
    Doctor(doctor::Options),
    /// Fetches QEMU, a kernel and busybox, so that later runs need no network.
    Fetch(fetch::Options),
    /// Prints the options that a kernel of your own needs, as a fragment of its configuration.
    KernelConfig,
    /// Breaks the device's rules one by one and shows which conformance cases notice.
    Mutants(mutants::Options),
    /// Prints what is known of a run that was kept, and where its page is.
    Report(runs::ReportOptions),
    /// Runs a program of a Debian userland in a guest, on the CXL memory and with promotion as you like.
    Run(Box<run::Options>),
    /// Prints the runs that were kept: those of bench, compare, demo and scenario.
    Runs(runs::RunsOptions),
    /// Runs ready-made scenarios in guests: strangers, full nodes, odd machines, killed programs.
    Scenario(scenario::Options),
    /// Runs all tests, those in guests included.
    Test(test::Options),
    /// Prints the workloads that cargo lab run --workload takes.
    Workloads(workloads::Options),
    #[command(external_subcommand)]
    Unknown(Vec<OsString>),
}

/// Runs the verb; the code tells a negative result from a failure to get one.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Boot(options) => boot::run(&options),
        Verb::Compare(options) => compare::run(&options),
        Verb::Diff(options) => runs::diff(&options),
        Verb::Doctor(options) => doctor::run(&options),
        Verb::Fetch(options) => fetch::run(&options),
        Verb::KernelConfig => kernel_config::run(),
        Verb::Mutants(options) => mutants::run(&options),
        Verb::Report(options) => runs::report(&options),
        Verb::Run(options) => run::run(&options),
        Verb::Runs(options) => runs::list(&options),
        Verb::Scenario(options) => scenario::run(&options),
        Verb::Test(options) => test::run(options),
        Verb::Workloads(options) => workloads::run(&options),
        Verb::Unknown(words) => Err(refuse(&words)),
    }
}

/// There is no such verb: says which there are.
fn refuse(words: &[OsString]) -> anyhow::Error {
    let word = words.first().map(|word| word.to_string_lossy());
    let word = word.unwrap_or_default();
    let mut command = Arguments::command();
    let verbs: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
    let meant = match names::nearest(&word, verbs.iter().copied()).first() {
        Some(nearest) => format!("; did you mean {nearest}?"),
        None => ".".to_owned(),
    };
    let all = verbs.join(", ");
    let text = format!("there is no command {word:?}{meant} There are {all}");
    command.error(ErrorKind::InvalidSubcommand, text).into()
}

/// A value of an option that cannot be used, told as clap tells what it finds itself.
fn usage_error(verb: &str, error: &anyhow::Error) -> anyhow::Error {
    let mut program = Arguments::command();
    program.build();
    let command = match program.find_subcommand_mut(verb) {
        Some(command) => command,
        None => &mut program,
    };
    command
        .error(ErrorKind::ValueValidation, format!("{error:#}"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
