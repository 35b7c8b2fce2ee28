// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu list`.

use std::path::PathBuf;
use std::process::ExitCode;

use chmu::program;
use chmu_driver::device::listing::{Table, list};
use chmu_driver::device::{Selection, nothing_found, select_functions};

use super::output::{Format, Output, json};
use super::transport::Reach;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only this function: its address, such as 35:00.0, or its memory device, such as mem0.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
    /// Where sysfs is.
    #[arg(long, value_name = "FOLDER", default_value = "/sys", hide = true)]
    sysfs: PathBuf,
}

pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let selection = Selection {
        device: options.device,
        unit: None,
        opening: options.reach.opening(),
    };
    let devices = list(&options.sysfs, &selection)?;
    let nothing = match devices.is_empty() {
        true => {
            let functions = select_functions(&options.sysfs, &selection)?;
            Some(nothing_found(&options.sysfs, &functions))
        }
        false => None,
    };
    match (options.output.format(), nothing) {
        (Format::Human, Some(nothing)) => program::print(nothing)?,
        (Format::Human, None) => program::print(Table(&devices))?,
        (Format::Json, nothing) => {
            program::print(json(&devices)?)?;
            if let Some(nothing) = nothing {
                log::warn!("{nothing}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
