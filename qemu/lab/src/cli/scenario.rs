// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab scenario`.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use chmu_lab::machine::Software;
use chmu_lab::output::Format;
use chmu_lab::platform::{KernelChoice, ModuleRequest, Platform, PlatformOptions};
use chmu_lab::progress::Progress;
use chmu_lab::scenario::{ALL, Listing, OnKernel, Runner, Scenario};
use clap::ValueEnum;

use super::jobs::Jobs;
use super::{keep, names, usage_error};

/// What a file system on a disk needs; a kernel of the user's own may have it built in.
fn modules(kernel: KernelChoice) -> &'static [&'static str] {
    match kernel {
        KernelChoice::Backports => &["ext4", "loop"],
        // No module names what ext4 computes its checksums by.
        KernelChoice::Lts612 => &["crc32c_generic", "ext4", "loop"],
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Prints what there is.
    List {
        /// Output format.
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Runs scenarios on one kernel; those that need the same machine share a boot.
    Run {
        /// Their names.
        #[arg(value_name = "NAME", required = true, value_parser = parse_scenario)]
        scenarios: Vec<Scenario>,
        #[command(flatten)]
        how: How,
    },
    /// Runs every scenario on both of Debian's kernels, or on one of your own.
    All {
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, clap::Args)]
struct How {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Keeps the runs' folders with logs and sockets.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    jobs: Jobs,
    #[command(flatten)]
    platform: PlatformOptions,
}

fn parse_scenario(name: &str) -> Result<Scenario, String> {
    let names = ALL.iter().map(|scenario| scenario.name);
    let nearest = names::nearest(name, names);
    let parsed = name.parse::<Scenario>();
    parsed.map_err(|error| match nearest.first() {
        Some(nearest) => format!("{error}; did you mean {nearest}?"),
        None => error.to_string(),
    })
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    match &options.verb {
        Verb::List { output } => {
            output.print(&Listing::all())?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Run { scenarios, how } => run_on(scenarios, how, &[how.platform.kernel_suite]),
        Verb::All { how } => match how.platform.kernel {
            Some(_) => run_on(ALL, how, &[how.platform.kernel_suite]),
            None => run_on(ALL, how, &[KernelChoice::Backports, KernelChoice::Lts612]),
        },
    }
}

fn run_on(scenarios: &[Scenario], how: &How, kernels: &[KernelChoice]) -> Result<ExitCode> {
    let checked = how.platform.check_values();
    checked.map_err(|error| usage_error("scenario", &error))?;
    let begin = Instant::now();
    let progress = Progress::new();
    let mut qemu = String::new();
    let mut obtained = Vec::with_capacity(kernels.len());
    for kernel in kernels {
        let (platform, software) = obtain(&how.platform, *kernel, &progress)?;
        qemu = platform.qemu.version().to_string();
        obtained.push((name(&how.platform, *kernel), software));
    }
    let kernels: Vec<_> = obtained
        .iter()
        .map(|(name, software)| OnKernel { name, software })
        .collect();
    let runner = Runner {
        kernels: &kernels,
        at_once: how.jobs.at_once(),
        progress: &progress,
        keep: how.keep,
    };
    let results = runner.run(scenarios)?;
    drop(progress);
    how.output.print(&results)?;
    keep::keep(("scenario", "Scenarios"), (begin, qemu), &results, &[]);
    Ok(match results.are_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn obtain(
    asked: &PlatformOptions,
    kernel_suite: KernelChoice,
    progress: &Progress,
) -> Result<(Platform, Software)> {
    let mut options = asked.clone();
    options.kernel_suite = kernel_suite;
    if options.kernel.is_none() {
        let modules = modules(kernel_suite).iter();
        let modules = modules.map(|name| ModuleRequest::named(name));
        options.own_modules.extend(modules);
    }
    Software::obtain(&options, None, progress)
}

/// As the command line has it.
fn name(options: &PlatformOptions, kernel: KernelChoice) -> String {
    let debian = kernel.to_possible_value();
    let debian = debian.filter(|_| options.kernel.is_none());
    debian.map_or_else(
        || "own kernel".to_owned(),
        |value| value.get_name().to_owned(),
    )
}
