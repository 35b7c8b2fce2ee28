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
    /// Batches; the quickest counts.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Other processes with memory on the slow node for the last measurement.
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
    /// What the ratio must reach, or the value must not exceed.
    target: f64,
    met: bool,
}

impl Measurement {
    /// A cost that is to be no more than `1 / share` of the floor's.
    fn against(name: &'static str, value_ns: u64, floor_ns: u64, share: f64) -> Measurement {
        let (value, floor) = (milliseconds(value_ns), milliseconds(floor_ns));
        let ratio = floor / value.max(f64::MIN_POSITIVE);
        Measurement {
            name,
            unit: "ms",
            value,
            floor: Some(floor),
            ratio,
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
        )
    }
}

/// What came of the bench.
#[derive(Debug, Serialize)]
struct Report {
    kernel: String,
    pages: u64,
    rounds: u32,
    measurements: Vec<Measurement>,
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
            "Linux {}, batches of {pages}, best of {}",
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

fn milliseconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
}
