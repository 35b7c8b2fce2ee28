// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu prove`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chmu_machine::topology::Topology;
use chmu_proof::prove;
use chmu_proof::workload::state::State;

use super::exit_code::NEGATIVE_RESULT;
use super::output::Output;
use super::values;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The state file of a running workload.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// The least part of the promoted pages that must be hot.
    #[arg(long, value_name = "PART", value_parser = values::part, default_value = "0")]
    minimum_precision: f64,
    /// The least part of the hot pages that must be promoted.
    #[arg(long, value_name = "PART", value_parser = values::part, default_value = "0")]
    minimum_recall: f64,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let state = State::read(&options.state)?;
    let topology = Topology::read(Path::new("/sys"))?;
    let proof = prove(&state, &topology)?;
    options.output.print(&proof)?;
    let is_good = proof.placement_ok
        && proof.precision >= options.minimum_precision
        && proof.recall >= options.minimum_recall;
    Ok(match is_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(NEGATIVE_RESULT),
    })
}
