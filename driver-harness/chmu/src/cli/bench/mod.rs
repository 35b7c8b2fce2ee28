// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu bench`: what the engine's parts cost on this machine, each against a floor of the same run.

use std::fmt;
use std::process::ExitCode;

use chmu_machine::words;
use serde::Serialize;

use super::exit_code::NEGATIVE_RESULT;
use super::output::Output;

mod actuator;
mod kinds;
mod pages;
mod processes;
mod strangers;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, clap::Subcommand)]
enum Subject {
    /// Moving pages by DAMON, against one call of `move_pages(2)` over the same pages; checks as well
    /// that no other page moves, and what becomes of each kind of page.
    Actuator(ActuatorOptions),
}

#[derive(Debug, clap::Args)]
struct ActuatorOptions {
    /// Pages of a batch, no two of them neighbours.
    #[arg(long, value_name = "PAGES", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pages: u64,
    /// Batches of each sort; their median counts.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Most processes with memory on the slow node; none to leave that measurement out.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    processes: u32,
    /// Pages of each of them.
    #[arg(long, value_name = "PAGES", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..))]
    process_pages: u64,
    #[command(flatten)]
    output: Output,
}

/// A measured quantity against what it is judged by.
#[derive(Debug, Serialize)]
struct Measurement {
    name: &'static str,
    unit: &'static str,
    value: f64,
    /// The same by other means, in the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<f64>,
    /// Floor by value, or for quantities without a floor target by value.
    ratio: f64,
    /// The least and the greatest ratio of a round.
    #[serde(skip_serializing_if = "Option::is_none")]
    spread: Option<[f64; 2]>,
    /// What the ratio must reach, or the value must not exceed.
    target: f64,
    met: bool,
}

impl Measurement {
    /// Costs of rounds that are to be no more than `1 / share` of the floor's in the same rounds.
    fn against(
        name: &'static str,
        values_ns: &[u64],
        floors_ns: &[u64],
        share: f64,
    ) -> Measurement {
        let both = values_ns.iter().zip(floors_ns);
        let ratio = |(value, floor): (&u64, &u64)| *floor as f64 / (*value).max(1) as f64;
        let mut ratios: Vec<f64> = both.map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or(0.0);
        let ends = ratios.first().copied().zip(ratios.last().copied());
        Measurement {
            name,
            unit: "ms",
            value: milliseconds(median(values_ns)),
            floor: Some(milliseconds(median(floors_ns))),
            ratio,
            spread: ends.map(|(least, greatest)| [least, greatest]),
            target: share,
            met: ratio >= share,
        }
    }

    /// A quantity that is to be at most `most`.
    fn at_most(name: &'static str, unit: &'static str, value: f64, most: f64) -> Measurement {
        Measurement {
            name,
            unit,
            value,
            floor: None,
            ratio: most / value.max(f64::MIN_POSITIVE),
            spread: None,
            target: most,
            met: value <= most,
        }
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = if self.met { "met" } else { "missed" };
        let floor = self.floor.map(|floor| format!("{floor:.3}"));
        write!(
            f,
            "{:<34} {:>9.3} {:<5} {:>9} {:>8.2} {:>8.2}  {met}",
            self.name,
            self.value,
            self.unit,
            floor.as_deref().unwrap_or("-"),
            self.ratio,
            self.target
        )?;
        match self.spread {
            Some([least, greatest]) => write!(f, " ({least:.2} to {greatest:.2})"),
            None => Ok(()),
        }
    }
}

/// What batches cost with so many processes around, which own their pages.
#[derive(Debug, Serialize)]
struct Processes {
    processes: u32,
    median_ms: f64,
    least_ms: f64,
    greatest_ms: f64,
}

impl Processes {
    fn of(step: &processes::Step) -> Processes {
        let ends = |end: Option<&u64>| milliseconds(end.copied().unwrap_or(0));
        Processes {
            processes: step.processes,
            median_ms: milliseconds(median(&step.batches_ns)),
            least_ms: ends(step.batches_ns.iter().min()),
            greatest_ms: ends(step.batches_ns.iter().max()),
        }
    }
}

/// What came of the bench.
#[derive(Debug, Serialize)]
struct Report {
    kernel: String,
    pages: u64,
    rounds: u32,
    measurements: Vec<Measurement>,
    processes: Vec<Processes>,
    /// What the batches moved, and what they must not have.
    strangers: strangers::Strangers,
    kinds: Vec<kinds::Kind>,
}

impl Report {
    /// Whether pages were treated as they must be; costs are no matter of right and wrong.
    fn is_right(&self) -> bool {
        self.strangers.moved == 0 && self.kinds.iter().all(|kind| kind.is_right)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = words::count(self.pages, "page", "pages");
        writeln!(
            f,
            "Linux {}, batches of {pages}, medians of {}",
            self.kernel, self.rounds
        )?;
        writeln!(
            f,
            "{:<34} {:>9} {:<5} {:>9} {:>8} {:>8}",
            "", "value", "", "floor", "ratio", "target"
        )?;
        for measurement in &self.measurements {
            writeln!(f, "{measurement}")?;
        }
        for step in &self.processes {
            writeln!(
                f,
                "a batch of {} processes: {:.3} ms ({:.3} to {:.3})",
                step.processes, step.median_ms, step.least_ms, step.greatest_ms
            )?;
        }
        write!(f, "{}", self.strangers)?;
        for kind in &self.kinds {
            write!(f, "\n{kind}")?;
        }
        Ok(())
    }
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let Subject::Actuator(options) = &options.subject;
    let report = actuator::run(options)?;
    options.output.print(&report)?;
    Ok(match report.is_right() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(NEGATIVE_RESULT),
    })
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn milliseconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
}
