// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab doctor`.

use std::process::ExitCode;

use chmu_lab::doctor;
use chmu_lab::output::Format;
use chmu_lab::platform::PlatformOptions;
use chmu_lab::progress::Progress;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    platform: PlatformOptions,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let report = doctor::examine(&options.platform, &Progress::new());
    options.output.print(&report)?;
    Ok(match report.is_ready() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
