// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab doctor`.

use std::process::ExitCode;

use chmu_lab::doctor;
use chmu_lab::platform::PlatformOptions;

use super::output::Format;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    platform: PlatformOptions,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let findings = doctor::examine(&options.platform)?;
    match options.output {
        Format::Human => print!("{}", doctor::table(&findings)),
        Format::Json => println!("{}", serde_json::to_string_pretty(&findings)?),
    }
    Ok(match doctor::is_ready(&findings) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
