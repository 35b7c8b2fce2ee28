// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu watch`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chmu::program::{self, OutputError};
use chmu_driver::device::UnitStatistics;
use chmu_driver::device::ownership::OwnershipError;
use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::words;
use chmu_promotion::report::{HotExtent, Place, Report};
use chmu_promotion::source::{ChmuSource, HotnessSource, OpenError};
use chmu_spec::chmu::Mode;
use chmu_spec::unit_size::UnitSize;
use serde::Serialize;

use super::hot_owners::{HotFrames, HotOwners};
use super::look;
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
    /// Tells at the end which process, and which file or area of it, each hot page belongs to.
    #[arg(long)]
    owners: bool,
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
    /// Whose memory was hot.
    Owners(HotOwners),
    /// What was read from each unit; last of all lines.
    Finished(BTreeMap<String, UnitStatistics>),
}

/// A unit and what it was programmed to do.
#[derive(Debug, PartialEq, Serialize)]
struct Started<'a> {
    unit: &'a str,
    unit_bytes: u64,
    mode: &'static str,
    /// Length of an epoch as the unit has it.
    epoch_ns: u64,
    /// Length of an epoch as it was asked for.
    wished_epoch_ns: u64,
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
                let lines: Vec<_> = units.iter().map(Started::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            Line::Hot(hot) => hot.fmt(f),
            Line::Owners(owners) => owners.fmt(f),
            Line::Lost {
                epoch,
                overflow,
                unmapped_units,
            } => {
                let mut what = Vec::new();
                if *overflow {
                    what.push("the list overflowed, so more units were hot".to_owned());
                }
                if *unmapped_units > 0 {
                    let units = words::count(*unmapped_units, "hot unit lies", "hot units lie");
                    what.push(format!("{units} in no page of this machine"));
                }
                write!(f, "{epoch:>6}  {}", what.join("; "))
            }
            Line::Finished(units) => {
                let lines: Vec<_> = units
                    .iter()
                    .map(|(unit, read)| format!("{unit}: {}", finished(read)))
                    .collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl fmt::Display for Started<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = UnitSize::from_bytes(self.unit_bytes);
        let size = size.map_or_else(|| self.unit_bytes.to_string(), |size| size.to_string());
        let accesses = words::count(self.threshold.into(), "access", "accesses");
        write!(f, "{} counts {}, ", self.unit, self.requests)?;
        write!(f, "units of {size} are hot from {accesses} on")?;
        if self.mode == Mode::Epoch.name() {
            let epoch = words::granted_epoch(self.epoch_ns, self.wished_epoch_ns);
            write!(f, " in an epoch of {epoch}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Hot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |address: Option<u64>| {
            address.map_or_else(|| "-".to_owned(), |address| format!("{address:#x}"))
        };
        write!(
            f,
            "{:>6}  {}  dpa {:>12}  hpa {:>12}  count {}",
            self.epoch,
            self.unit,
            address(self.dpa),
            address(self.hpa),
            self.count
        )
    }
}

/// What was read from a unit.
fn finished(read: &UnitStatistics) -> String {
    format!(
        "{} in {}, {}; the list filled {} and overflowed {}",
        words::count(read.entries, "entry", "entries"),
        words::count(read.drains, "reading", "readings"),
        words::count(read.interrupts, "interrupt", "interrupts"),
        words::times(read.fill_levels),
        words::times(read.overflows)
    )
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
    let units = match options.units.find_beside() {
        Ok(units) => units,
        // Somebody else's unit is looked at, and not touched.
        Err(OpenError::Owned(owned)) if !matches!(owned, OwnershipError::Unit { .. }) => {
            let end = Duration::from_secs(options.seconds.unwrap_or(u64::MAX));
            let json = options.output.format() == Format::Json;
            return look::run(
                &owned,
                &options.units.selection(),
                json,
                end,
                signals.stop(),
            );
        }
        Err(error) => return Err(error.into()),
    };
    let epoch = units.epoch();
    let mut source = units.start()?;
    ensure!(
        !options.interrupts || source.has_interrupts(),
        "Interrupts of {} do not arrive on this path; bind vfio-pci and take --transport vfio",
        source.facts().name
    );
    let printer = Printer {
        names: source.units().map(|unit| unit.name().to_owned()).collect(),
        is_json: options.output.format() == Format::Json,
        start: Instant::now(),
        epoch: epoch.max(Duration::from_nanos(1)),
    };
    let wished_epoch_ns = options.units.wished_epoch_ns();
    printer.print(&Line::Started(started(&source, wished_epoch_ns)))?;
    let stop = signals.stop();
    let mut hot = options.owners.then(HotFrames::default);
    while !stop.is_raised() && !is_over(options, &printer) {
        let report = match options.interrupts {
            true => source.after_interrupt(NOTICE, stop)?,
            false => Some(source.poll(source.deadline_ns(NOTICE), stop)?),
        };
        if let Some(report) = report {
            printer.print_report(&report)?;
            if let Some(hot) = &mut hot {
                hot.add(&report);
            }
        }
    }
    if !options.interrupts {
        // What came since the last reading.
        let report = source.poll(0, stop)?;
        printer.print_report(&report)?;
        if let Some(hot) = &mut hot {
            hot.add(&report);
        }
    }
    let statistics = source.statistics();
    // The units stop before anybody reads the result.
    drop(source);
    if let Some(hot) = &hot {
        printer.print(&Line::Owners(hot.owners(Path::new("/proc"))?))?;
    }
    printer.print(&Line::Finished(statistics))?;
    Ok(ExitCode::SUCCESS)
}

fn started(source: &ChmuSource, wished_epoch_ns: u64) -> Vec<Started<'_>> {
    let units = source.units().filter_map(|unit| {
        let settings = unit.settings()?;
        Some(Started {
            unit: unit.name(),
            unit_bytes: settings.unit_size.bytes(),
            mode: settings.mode.name(),
            epoch_ns: settings.epoch.nanoseconds(),
            wished_epoch_ns,
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

    fn print_report(&self, report: &Report) -> Result<(), OutputError> {
        let epoch = self.epoch();
        // The places of one unit follow one another.
        for extents in report
            .extents
            .chunk_by(|one, next| one.unit.is_some() && one.unit == next.unit)
        {
            if let Some(hot) = self.hot(extents, epoch) {
                self.print(&Line::Hot(hot))?;
            }
        }
        match (report.lost.overflow, report.lost.outside_memory) {
            (false, 0) => Ok(()),
            (overflow, unmapped_units) => self.print(&Line::Lost {
                epoch,
                overflow,
                unmapped_units,
            }),
        }
    }

    /// The extents of one unit as a line.
    fn hot<'a>(&'a self, extents: &[HotExtent], epoch: u64) -> Option<Hot<'a>> {
        let first = extents.first()?;
        let name = first.unit.and_then(|unit| self.names.get(unit.member));
        Some(Hot {
            epoch,
            unit: name.map_or("", String::as_str),
            dpa: first.unit.map(|unit| unit.dpa.0),
            hpa: match first.place {
                Place::Frames { start, .. } => start.start().map(|hpa| hpa.0),
                Place::Addresses { .. } => None,
            },
            host_bytes: extents
                .iter()
                .map(|extent| extent.place.pages() * PAGE_BYTES)
                .sum(),
            count: first.weight.value,
        })
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

    use chmu_promotion::report::{UnitPlace, Weight};
    use chmu_spec::address::{Dpa, Pfn};

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
        let extent = |frame| HotExtent {
            place: Place::Frames {
                start: Pfn(frame),
                pages: 1,
            },
            weight: Weight::accesses(17),
            sharing_pages: 2,
            unit: Some(UnitPlace {
                member: 1,
                dpa: Dpa(4096),
            }),
        };
        let extents = [extent(0x10_0000), extent(0x10_0002)];
        let printer = printer();
        let line = Line::Hot(printer.hot(&extents, printer.epoch()).unwrap());
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
        let started = |unit, mode: Mode| Started {
            unit,
            unit_bytes: 4096,
            mode: mode.name(),
            epoch_ns: 1_000_000,
            wished_epoch_ns: 50_000,
            threshold: 2,
            requests: "non-tee-read",
            interrupts: false,
        };
        let line = Line::Started(vec![
            started("a", Mode::Epoch),
            started("b", Mode::AlwaysOn),
        ]);
        assert_eq!(
            line.to_string(),
            "a counts non-tee-read, units of 4K are hot from 2 accesses on in an epoch of 1ms \
             (50.0 us were asked for)\n\
             b counts non-tee-read, units of 4K are hot from 2 accesses on"
        );
        let json = serde_json::to_value(&line).unwrap();
        assert_eq!(json["started"][1]["unit"], "b");
        assert_eq!(json["started"][0]["wished_epoch_ns"], 50_000);
    }

    #[test]
    fn what_did_not_happen_is_not_counted() {
        let lost = |overflow, unmapped_units| Line::Lost {
            epoch: 7,
            overflow,
            unmapped_units,
        };
        assert_eq!(
            lost(true, 0).to_string(),
            "     7  the list overflowed, so more units were hot"
        );
        assert_eq!(
            lost(false, 2).to_string(),
            "     7  2 hot units lie in no page of this machine"
        );
        let nothing = Line::Finished(BTreeMap::from([("a".into(), UnitStatistics::default())]));
        assert_eq!(
            nothing.to_string(),
            "a: no entry in no reading, no interrupt; the list filled never and overflowed never"
        );
    }
}
