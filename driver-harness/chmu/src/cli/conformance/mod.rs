// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu conformance`.

mod catalogue;
mod files;
mod options;
mod run;

use std::process::ExitCode;

use clap::Subcommand;

use self::options::RunOptions;

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
    /// Judges a device. Exits with 0 when it passes, 1 when it fails or could not be put back, 4 when nothing ran
    /// or its results cannot be written, 5 when it could not be judged in full, 130 when a signal ended the run.
    Run(Box<RunOptions>),
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match &options.verb {
        Verb::List(options) => catalogue::list(options),
        Verb::Explain(options) => catalogue::explain(options),
        Verb::Run(options) => Ok(run::run(options)?),
    }
}
