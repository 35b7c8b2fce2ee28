// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab runs`, `cargo lab report` and `cargo lab diff`.

use std::process::ExitCode;

use anyhow::Result;
use chmu_lab::output::Format;
use chmu_lab::runs::{Difference, Listing, Runs};

/// The second run is worse.
const REGRESSION: u8 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct RunsOptions {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReportOptions {
    /// Its name or the beginning of it, its folder's path, or last.
    #[arg(value_name = "RUN", default_value = "last")]
    run: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
pub(super) struct DiffOptions {
    /// The run that the other is held against: its name or the beginning of it, its folder's path, or last.
    #[arg(value_name = "BEFORE")]
    before: String,
    /// The other.
    #[arg(value_name = "AFTER", default_value = "last")]
    after: String,
    /// Figures may be worse by so many percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    limit: u8,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn list(options: &RunsOptions) -> Result<ExitCode> {
    options.output.print(&Listing(Runs::of_user()?.all()?))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn report(options: &ReportOptions) -> Result<ExitCode> {
    options
        .output
        .print(&Runs::of_user()?.find(&options.run)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn diff(options: &DiffOptions) -> Result<ExitCode> {
    let runs = Runs::of_user()?;
    let (before, after) = (runs.find(&options.before)?, runs.find(&options.after)?);
    let difference = Difference::between(&before, &after, f64::from(options.limit) / 100.0)?;
    options.output.print(&difference)?;
    Ok(match difference.is_regression() {
        false => ExitCode::SUCCESS,
        true => ExitCode::from(REGRESSION),
    })
}
