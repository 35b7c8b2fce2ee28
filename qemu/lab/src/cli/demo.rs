// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab demo`.

use std::process::ExitCode;
use std::time::Instant;

use chmu::program;
use chmu_lab::machine::{self, MachineOptions, Software};
use chmu_lab::output::Format;
use chmu_lab::platform::PlatformOptions;
use chmu_lab::progress::Progress;
use chmu_lab::scenario::demo::{self, Timeline, Verdict, Workload};
use chmu_lab::topology::Topology;

use super::{keep, usage_error};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    platform: PlatformOptions,
    #[command(flatten)]
    workload: Workload,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Prints the commands that start device and QEMU, and runs nothing.
    #[arg(long, conflicts_with = "shell")]
    dry_run: bool,
    /// Opens a shell in the guest instead of running the workload; Ctrl-A x ends QEMU.
    #[arg(long)]
    shell: bool,
    /// Keeps the run's folder with logs and sockets, and says where it is.
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
    let topology = Topology::default();
    let checked = options.workload.check(&topology);
    let checked = checked.and_then(|()| options.platform.check_values());
    checked.map_err(|error| usage_error("demo", &error))?;
    let progress = Progress::new();
    let (platform, software) = Software::obtain(&options.platform, None, &progress)?;
    let mut machine_options = MachineOptions {
        keep: options.keep,
        ..MachineOptions::default()
    };
    if options.dry_run {
        drop(progress);
        let commands = machine::dry_run(&topology, &machine_options, &software)?;
        options.output.print(&commands)?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.shell {
        drop(progress);
        machine_options.append.push("chmu.shell".to_owned());
        let (status, kept) = machine::run_on_terminal(&topology, &machine_options, &software)?;
        if let Some(folder) = kept {
            program::say(format_args!("Logs and sockets are in {}", folder.display()));
        }
        return Ok(match status.success() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        });
    }
    let result = demo::run(
        &topology,
        &software,
        &platform.qemu.version().to_string(),
        &machine_options,
        &options.workload,
        &progress,
        begin,
    )?;
    drop(progress);
    options.output.print(&result)?;
    let pages = result.timeline.as_ref().map(Timeline::csv);
    let files: Vec<_> = pages
        .iter()
        .map(|csv| ("pages.csv", csv.as_str()))
        .collect();
    keep::keep(
        ("demo", "Demo"),
        (begin, result.qemu.clone()),
        &result,
        &files,
    );
    if let Some(folder) = &result.kept {
        program::say(format_args!("Logs and sockets are in {}", folder.display()));
    }
    Ok(match result.verdict {
        Verdict::Pass => ExitCode::SUCCESS,
        Verdict::Fail => ExitCode::FAILURE,
    })
}
