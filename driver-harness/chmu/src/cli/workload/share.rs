// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu workload share`: another process that maps a workload's pages.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use chmu_machine::memory::page_file::PageFile;
use chmu_machine::words;
use chmu_proof::workload::state::State;
use serde::Serialize;

use crate::cli::output::Output;
use crate::cli::signals::Signals;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The state file of a running workload whose pages are those of a file.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// What was shared until SIGTERM.
#[derive(Debug, Serialize)]
struct Report {
    process_id: u32,
    pages: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} shared", words::count(self.pages, "page", "pages"))
    }
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    let state = State::read(&options.state)?;
    let Some(path) = &state.file else {
        bail!("The workload's pages are its own; start it with --backing mapped:FILE");
    };
    let mapped = PageFile::map(path, state.pages);
    let mapped = mapped.with_context(|| format!("Cannot map {}", path.display()))?;
    signals.wait_for_stop()?;
    let report = Report {
        process_id: std::process::id(),
        pages: mapped.pages(),
    };
    options.output.print(&report)?;
    Ok(ExitCode::SUCCESS)
}
