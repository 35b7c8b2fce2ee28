// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu conformance`.

mod catalogue;
mod options;
mod run;

use std::process::ExitCode;

use clap::{CommandFactory, Subcommand};

use self::options::RunOptions;

/// Exit code of a run in which nothing ran, as kselftest has it.
const NOTHING_RAN: u8 = 4;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the cases and the requirements that they check.
    List(catalogue::ListOptions),
    /// Explains a requirement or a case.
    Explain(catalogue::ExplainOptions),
    /// Judges a device. Exits with 0 when it passes, 1 when it fails, 4 when nothing ran.
    Run(Box<RunOptions>),
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match &options.verb {
        Verb::List(options) => catalogue::list(options),
        Verb::Explain(options) => catalogue::explain(options),
        Verb::Run(options) => Ok(run::run(options)),
    }
}

/// Ends the process as a wrong command line does.
fn usage_error(kind: clap::error::ErrorKind, message: impl std::fmt::Display) -> ! {
    super::Arguments::command().error(kind, message).exit()
}
