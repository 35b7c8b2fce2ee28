// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu watch`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use chmu_harness::device::UnitStatistics;
use chmu_harness::program::{self, OutputError};
use chmu_harness::source::{Batch, ChmuSource, HotUnit, HotnessSource};

use super::output::{Format, Output};
use super::signals::{NOTICE, Signals};
use super::units::UnitOptions;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    units: UnitOptions,
    /// Reads a list only after an interrupt said that it fills or overflowed, and never polls.
    #[arg(long)]
    interrupts: bool,
    /// Ends after so many epochs [default: at SIGTERM].
    #[arg(long, value_name = "COUNT")]
    epochs: Option<u32>,
    /// Ends after so many seconds [default: at SIGTERM].
    #[arg(long)]
    seconds: Option<u64>,
    #[command(flatten)]
    output: Output,
}

/// A line on stdout.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    /// The units count from now on; first of all lines.
    Started(Vec<Started<'a>>),
    /// An entry of a hotlist.
    Hot(Hot<'a>),
    /// Hot units were lost, or lie in no page of the host.
    Lost {
        epoch: u64,
        overflow: bool,
        unmapped_units: u64,
    },
    /// What was read from each unit; last of all lines.
    Finished(BTreeMap<String, UnitStatistics>),
}

/// A unit and what it was programmed to do.
#[derive(Debug, PartialEq, Serialize)]
struct Started<'a> {
    unit: &'a str,
    unit_bytes: u64,
    epoch_ns: u64,
    threshold: u32,
    requests: &'static str,
    interrupts: bool,
}

/// An entry of a hotlist.
#[derive(Debug, PartialEq, Serialize)]
struct Hot<'a> {
    /// Epochs since the start, at the time when the entry was read.
    epoch: u64,
    unit: &'a str,
    dpa: Option<u64>,
    /// Where the unit's memory starts in the host.
    hpa: Option<u64>,
    /// Bytes of the host's pages that hold the unit; an interleave spreads it over more pages.
    host_bytes: u64,
    count: u64,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Started(units) => {
                for (number, started) in units.iter().enumerate() {
                    let separator = if number > 0 { "\n" } else { "" };
                    write!(
                        f,
                        "{separator}{} counts {} on {} bytes, hot from {} in {} ns",
                        started.unit,
                        started.requests,
                        started.unit_bytes,
                        started.threshold,
                        started.epoch_ns
                    )?;
                }
                Ok(())
            }
            Line::Hot(hot) => {
                let address = |address: Option<u64>| {
                    address.map_or_else(|| "-".to_owned(), |address| format!("{address:#x}"))
                };
                write!(
                    f,
                    "{:>6}  {}  dpa {:>12}  hpa {:>12}  count {}",
                    hot.epoch,
                    hot.unit,
                    address(hot.dpa),
                    address(hot.hpa),
                    hot.count
                )
            }
            Line::Lost {
                epoch,
                overflow,
                unmapped_units,
            } => {
                let what = if *overflow {
                    "hot units were lost"
                } else {
                    "nothing was lost"
                };
                write!(f, "{epoch:>6}  {what}, {unmapped_units} lie in no page")
            }
            Line::Finished(units) => {
                for (number, (unit, read)) in units.iter().enumerate() {
                    let separator = if number > 0 { "\n" } else { "" };
                    write!(
                        f,
                        "{separator}{unit}: {} entries in {} readings, {} interrupts, \
                         {} times filling, {} times overflowed",
                        read.entries,
                        read.drains,
                        read.interrupts,
                        read.fill_levels,
                        read.overflows
                    )?;
                }
                Ok(())
            }
        }
    }
}

/// Counts epochs and prints lines.
struct Printer {
    names: Vec<String>,
    is_json: bool,
    start: Instant,
    epoch: Duration,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let signals = Signals::catch()?;
    let mut source = options.units.open()?;
    ensure!(
        !options.interrupts || source.has_interrupts(),
        "Interrupts of {} do not arrive on this path; bind vfio-pci and take --transport vfio",
        source.name()
    );
    let printer = Printer {
        names: source.units().map(|unit| unit.name().to_owned()).collect(),
        is_json: options.output.format() == Format::Json,
        start: Instant::now(),
        epoch: options.units.epoch.max(Duration::from_nanos(1)),
    };
    printer.print(&Line::Started(started(&source)))?;
    while !signals.stop() && !is_over(options, &printer) {
        let batch = match options.interrupts {
            true => source.after_interrupt(NOTICE)?,
            false => Some(source.next_batch(NOTICE)?),
        };
        if let Some(batch) = batch {
            printer.print_batch(&batch)?;
        }
    }
    if !options.interrupts {
        // What came since the last reading.
        printer.print_batch(&source.next_batch(Duration::ZERO)?)?;
    }
    let statistics = source.statistics();
    // The units stop before anybody reads the result.
    drop(source);
    printer.print(&Line::Finished(statistics))?;
    Ok(ExitCode::SUCCESS)
}

fn started(source: &ChmuSource) -> Vec<Started<'_>> {
    let units = source.units().filter_map(|unit| {
        let settings = unit.settings()?;
        Some(Started {
            unit: unit.name(),
            unit_bytes: settings.unit_size.bytes(),
            epoch_ns: settings.epoch.nanoseconds(),
            threshold: settings.threshold,
            requests: settings.filter.name(),
            interrupts: settings.has_interrupts() && unit.can_interrupt(),
        })
    });
    units.collect()
}

fn is_over(options: &Options, printer: &Printer) -> bool {
    let epochs = options.epochs;
    let passed = printer.start.elapsed();
    epochs.is_some_and(|epochs| printer.epoch() >= epochs.into())
        || options
            .seconds
            .is_some_and(|seconds| passed.as_secs() >= seconds)
}

impl Printer {
    /// Epochs that have passed since the start.
    fn epoch(&self) -> u64 {
        let epochs = self.start.elapsed().as_nanos() / self.epoch.as_nanos();
        u64::try_from(epochs).unwrap_or(u64::MAX)
    }

    fn print_batch(&self, batch: &Batch) -> Result<(), OutputError> {
        let epoch = self.epoch();
        for unit in &batch.units {
            self.print(&Line::Hot(self.hot(unit, epoch)))?;
        }
        match (batch.lost_units, batch.unmapped_units) {
            (false, 0) => Ok(()),
            (overflow, unmapped_units) => self.print(&Line::Lost {
                epoch,
                overflow,
                unmapped_units,
            }),
        }
    }

    fn hot<'a>(&'a self, unit: &HotUnit, epoch: u64) -> Hot<'a> {
        Hot {
            epoch,
            unit: self.names.get(unit.member).map_or("", String::as_str),
            dpa: unit.dpa.map(|dpa| dpa.0),
            hpa: unit.ranges.first().map(|range| range.start.0),
            host_bytes: unit.ranges.iter().map(|range| range.bytes).sum(),
            count: unit.count,
        }
    }

    fn print(&self, line: &Line<'_>) -> Result<(), OutputError> {
        match self.is_json {
            true => program::print(serde_json::to_string(line).map_err(io::Error::other)?),
            false => program::print(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use chmu_harness::translation::HpaRange;
    use chmu_spec::address::{Dpa, Hpa};

    fn printer() -> Printer {
        Printer {
            names: vec!["cxl_hmu_mem0.0.0".into(), "cxl_hmu_mem1.0.0".into()],
            is_json: true,
            start: Instant::now(),
            epoch: Duration::from_secs(3600),
        }
    }

    #[test]
    fn an_entry_is_one_json_object_with_plain_numbers() {
        let range = |start| HpaRange {
            start: Hpa(start),
            bytes: 4096,
        };
        let unit = HotUnit {
            ranges: vec![range(0x1_0000_0000), range(0x1_0000_2000)],
            count: 17,
            dpa: Some(Dpa(4096)),
            member: 1,
        };
        let printer = printer();
        let line = Line::Hot(printer.hot(&unit, printer.epoch()));
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            "{\"hot\":{\"epoch\":0,\"unit\":\"cxl_hmu_mem1.0.0\",\"dpa\":4096,\
             \"hpa\":4294967296,\"host_bytes\":8192,\"count\":17}}"
        );
        let text = line.to_string();
        assert!(
            text.contains("0x1000") && text.ends_with("count 17"),
            "{text}"
        );
    }

    #[test]
    fn the_first_line_names_every_unit() {
        let started = |unit| Started {
            unit,
            unit_bytes: 4096,
            epoch_ns: 1_000_000,
            threshold: 2,
            requests: "non-tee-read",
            interrupts: false,
        };
        let line = Line::Started(vec![started("a"), started("b")]);
        assert_eq!(line.to_string().lines().count(), 2);
        let json = serde_json::to_value(&line).unwrap();
        assert_eq!(json["started"][1]["unit"], "b");
    }
}
