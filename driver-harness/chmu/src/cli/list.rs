// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu list`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chmu::program;
use chmu_driver::device::listing::{ListedDevice, Table, list};
use chmu_driver::device::{Selection, nothing_found, select_functions};

use super::exit_code::NOTHING_PROVED;
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
    let looked =
        devices.iter().all(ListedDevice::is_whole) && could_look(&options.sysfs, &selection)?;
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
    Ok(match looked {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(NOTHING_PROVED),
    })
}

/// Whether PCI functions are shown at all, and the configuration space of each memory device among those that are
/// meant.
fn could_look(sysfs: &Path, selection: &Selection) -> anyhow::Result<bool> {
    let functions = select_functions(sysfs, selection)?;
    let mut devices = functions.iter().filter(|one| one.is_memory_device());
    Ok(sysfs.join("bus").is_dir() && devices.all(|function| function.identify().is_ok()))
}
