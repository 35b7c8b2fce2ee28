// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu agent`.

use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The port to serve on, for example /dev/ttyS1.
    #[arg(long, value_name = "PATH")]
    port: PathBuf,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    chmu::agent::serve_port(&options.port)?;
    Ok(ExitCode::SUCCESS)
}
