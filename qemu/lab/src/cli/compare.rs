// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab compare`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use chmu_lab::compare::{self, PATTERNS, Pattern, Plan, Policy};
use chmu_lab::machine::Software;
use chmu_lab::output::Format;
use chmu_lab::platform::PlatformOptions;
use chmu_lab::progress::Progress;
use chmu_lab::tiers::Figures;

use super::jobs::Jobs;
use super::result_file::ResultFile;
use super::{keep, usage_error};

/// What --quick compares.
const QUICK_WORKLOADS: [&str; 2] = ["uniform", "moving"];
const QUICK_POLICIES: [&str; 5] = ["none", "dram", "oracle", "numa-balancing", "chmu"];
const QUICK_PART: u64 = 2;
const SEEDS: u64 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A workload, each once; all of the lab's unless said.
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<Pattern>,
    /// What moves pages: none, dram, oracle, numa-balancing, damon, userfaultfd, chmu, or a script of your own that
    /// says what it is as these do; all of the lab's unless said. none and dram are always among them.
    #[arg(long = "policy", value_name = "NAME")]
    policies: Vec<Policy>,
    /// Runs each workload with so many choices of hot pages [default: 3].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: Option<u64>,
    /// Two workloads under five policies, half as long and once.
    #[arg(long)]
    quick: bool,
    /// How long hardware takes: asic, fpga, study, or the times from a miss to its line in DRAM and in CXL memory, in
    /// nanoseconds.
    #[arg(long, value_name = "OTHER_NS:CXL_NS", default_value = "asic")]
    figures: Figures,
    /// Where to write a table of all trials.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    jobs: Jobs,
    #[command(flatten)]
    platform: PlatformOptions,
}

impl Options {
    fn plan(&self) -> Result<Plan> {
        let patterns = match (self.workloads.is_empty(), self.quick) {
            (false, _) => self.workloads.clone(),
            (true, false) => PATTERNS.to_vec(),
            (true, true) => parsed(&QUICK_WORKLOADS)?,
        };
        let policies = match (self.policies.is_empty(), self.quick) {
            (false, _) => self.policies.clone(),
            (true, false) => Policy::all()?,
            (true, true) => parsed(&QUICK_POLICIES)?,
        };
        let mut plan = Plan {
            patterns: once(patterns, |pattern| pattern.name.to_owned()),
            policies: once(policies, |policy| policy.name.clone()),
            seeds: self.seeds.unwrap_or(if self.quick { 1 } else { SEEDS }),
            shortened: if self.quick { QUICK_PART } else { 1 },
            figures: self.figures.clone(),
        };
        let bounds = plan.missing_bounds()?;
        plan.policies.splice(0..0, bounds);
        Ok(plan)
    }
}

fn parsed<T: std::str::FromStr>(names: &[&str]) -> Result<Vec<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let parsed: Result<Vec<T>, T::Err> = names.iter().map(|name| name.parse()).collect();
    Ok(parsed?)
}

/// The first of each name.
fn once<T>(all: Vec<T>, name: impl Fn(&T) -> String) -> Vec<T> {
    let mut seen = std::collections::BTreeSet::new();
    all.into_iter()
        .filter(|one| seen.insert(name(one)))
        .collect()
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let checked = options.platform.check_values();
    checked.map_err(|error| usage_error("compare", &error))?;
    let plan = options.plan()?;
    let csv = options.csv.as_deref().map(ResultFile::open).transpose()?;
    let progress = Progress::new();
    let begin = Instant::now();
    let (platform, software) = Software::obtain(&options.platform, None, &progress)?;
    let comparison = compare::compare(&plan, &software, options.jobs.at_once(), &progress)?;
    drop(progress);
    if let Some(file) = csv {
        file.write(&comparison.csv())?;
    }
    options.output.print(&comparison)?;
    let (table, picture) = (comparison.csv(), comparison.overview().file());
    keep::keep(
        ("compare", "Policies compared"),
        (begin, platform.qemu.version().to_string()),
        &comparison,
        &[("trials.csv", &table), ("overview.svg", &picture)],
    );
    Ok(match comparison.is_complete() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn plan(options: &[&str]) -> Plan {
        let line = Line::parse_from([&["compare"], options].concat());
        line.options.plan().unwrap()
    }

    #[test]
    fn bounds_are_always_among_the_policies_and_nothing_is_run_twice() {
        let names = |plan: &Plan| {
            plan.policies
                .iter()
                .map(|one| one.name.clone())
                .collect::<Vec<_>>()
        };
        let own = plan(&[
            "--policy",
            "chmu",
            "--policy",
            "chmu",
            "--workload",
            "zipf",
            "--seeds",
            "2",
        ]);
        assert_eq!(names(&own), ["none", "dram", "chmu"]);
        assert_eq!((own.patterns.len(), own.trials()), (1, 6));
        let all = plan(&[]);
        assert_eq!(
            (all.patterns.len() >= 6, all.policies.len() >= 7, all.seeds),
            (true, true, 3)
        );
        let quick = plan(&["--quick", "--policy", "damon"]);
        assert_eq!(names(&quick), ["none", "dram", "damon"]);
        assert_eq!(
            (quick.seeds, quick.shortened, quick.patterns.len()),
            (1, 2, 2)
        );
    }
}
