// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab workloads`.

use std::process::ExitCode;

use anyhow::Result;
use chmu_lab::output::Format;
use chmu_lab::workloads::{Listing, Workload};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    options.output.print(&Listing(Workload::all()?))?;
    Ok(ExitCode::SUCCESS)
}
