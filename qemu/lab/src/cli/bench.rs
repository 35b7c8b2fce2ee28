// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab bench`.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use chmu_lab::bench::{self, BenchPrograms, Subject};
use chmu_lab::machine::Software;
use chmu_lab::output::Format;
use chmu_lab::platform::PlatformOptions;
use chmu_lab::progress::Progress;

use super::{keep, usage_error};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// What to measure [default: everything].
    #[arg(value_name = "SUBJECT", value_enum)]
    subjects: Vec<Subject>,
    /// Measures everything so often; the middle counts.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    platform: PlatformOptions,
}

/// A missed target is a result as any other: timings of one machine fail nothing.
pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let checked = options.platform.check_values();
    checked.map_err(|error| usage_error("bench", &error))?;
    let mut subjects = match options.subjects.as_slice() {
        [] => Subject::ALL.to_vec(),
        chosen => chosen.to_vec(),
    };
    subjects.sort_unstable();
    subjects.dedup();
    let progress = Progress::new();
    let begin = Instant::now();
    progress.step("Building what is measured");
    let programs = BenchPrograms::build()?;
    let mut wanted = options.platform.clone();
    wanted.guest_files.push(programs.guest_file());
    let (platform, software) = Software::obtain(&wanted, None, &progress)?;
    let both = (&software, &programs);
    let measured = bench::measure(&subjects, options.rounds, both, &progress)?;
    drop(progress);
    options.output.print(&measured)?;
    keep::keep(
        ("bench", "Costs"),
        (begin, platform.qemu.version().to_string()),
        &measured,
        &[],
    );
    Ok(ExitCode::SUCCESS)
}
