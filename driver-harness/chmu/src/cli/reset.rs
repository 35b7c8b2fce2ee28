// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu reset`: puts back what a run that was killed has left.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chmu::program;
use chmu_driver::device::ownership::Registry;
use chmu_driver::device::{Selection, Unit, open_all_units};
use chmu_machine::words;
use chmu_promotion::actuator::Places;
use chmu_promotion::actuator::damon::{self, Remains};
use serde::Serialize;

use super::output::Output;
use super::status;
use super::transport::Reach;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only units of this device: a PCI address or a memory device such as mem0 [default: every
    /// device].
    #[arg(long)]
    device: Option<String>,
    #[command(flatten)]
    reach: Reach,
    /// Puts back also units that the kernel's driver or an unknown program uses; never those of another
    /// chmu that runs.
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    output: Output,
}

/// What was found and done.
#[derive(Debug, Serialize)]
struct Report {
    units: Vec<UnitReport>,
    damon: DamonReport,
    /// Sockets of runs that were killed, which are removed.
    sockets: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct UnitReport {
    unit: String,
    #[serde(flatten)]
    outcome: UnitOutcome,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum UnitOutcome {
    PutBack {
        /// It counted, for nobody.
        was_enabled: bool,
        /// Registers held another configuration than after power-on.
        was_configured: bool,
    },
    /// It is as it was.
    Left {
        /// Why.
        left: String,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum DamonReport {
    /// Nothing of ours was there.
    Clean,
    /// A worker was removed, which still ran if so.
    TakenBack { was_running: bool },
    /// It is as it was; why.
    Left(String),
}

impl Report {
    /// What is as it was, and why.
    fn left(&self) -> Vec<String> {
        let units = self.units.iter().filter_map(|unit| match &unit.outcome {
            UnitOutcome::Left { left } => Some((unit.unit.as_str(), left)),
            UnitOutcome::PutBack { .. } => None,
        });
        let damon = match &self.damon {
            DamonReport::Left(reason) => Some(("DAMON", reason)),
            DamonReport::Clean | DamonReport::TakenBack { .. } => None,
        };
        let left = units.chain(damon);
        left.map(|(what, reason)| format!("{what} is left as it was: {reason}"))
            .collect()
    }
}

/// What is left is said elsewhere.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for UnitReport { unit, outcome } in &self.units {
            match outcome {
                UnitOutcome::PutBack {
                    was_enabled: true, ..
                } => writeln!(
                    f,
                    "{unit} counted; it is off and has its first configuration"
                )?,
                UnitOutcome::PutBack {
                    was_configured: true,
                    ..
                } => writeln!(f, "{unit} was configured; it has its first configuration")?,
                UnitOutcome::PutBack { .. } => writeln!(f, "{unit} is as after power-on")?,
                UnitOutcome::Left { .. } => {}
            }
        }
        if self.units.is_empty() {
            writeln!(f, "{} to put back", words::count(0, "unit", "units"))?;
        }
        for socket in &self.sockets {
            writeln!(
                f,
                "{} was left by a run that was killed; it is removed",
                socket.display()
            )?;
        }
        match &self.damon {
            DamonReport::Clean => f.write_str("DAMON has nothing of ours"),
            DamonReport::TakenBack { was_running: true } => f.write_str(
                "DAMON still ran for a run that was killed; it is off and its worker removed",
            ),
            DamonReport::TakenBack { was_running: false } => {
                f.write_str("DAMON had a worker of a run that was killed; it is removed")
            }
            DamonReport::Left(_) => Ok(()),
        }
    }
}

/// Each is put back whatever becomes of the others. What a chmu that runs has for itself refuses.
pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let damon = match damon::reset(&Places::default()) {
        Ok(Remains::None) => DamonReport::Clean,
        Ok(Remains::TakenBack { running }) => DamonReport::TakenBack {
            was_running: running > 0,
        },
        Err(error) => DamonReport::Left(words::describe(&error)),
    };
    let selection = Selection {
        device: options.device,
        unit: None,
        opening: options.reach.opening(),
    };
    let registry = Registry::default();
    let units = open_all_units(Path::new("/sys"), &selection)?;
    let units = units.into_iter().map(|mut unit| UnitReport {
        unit: unit.name().to_owned(),
        outcome: put_back(&registry, &mut unit, options.take_over),
    });
    let report = Report {
        units: units.collect(),
        damon,
        sockets: status::remove_left_sockets(),
    };
    options.output.print(&report)?;
    let left = report.left();
    for sentence in &left {
        program::say(sentence);
    }
    Ok(match left.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn put_back(registry: &Registry, unit: &mut Unit, take_over: bool) -> UnitOutcome {
    let mut put_back = || -> anyhow::Result<UnitOutcome> {
        registry.claim(unit, take_over)?;
        let was_enabled = unit.status()?.enabled();
        let was_configured = unit.restore()?;
        Ok(UnitOutcome::PutBack {
            was_enabled,
            was_configured,
        })
    };
    put_back().unwrap_or_else(|error| UnitOutcome::Left {
        left: format!("{error:#}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_and_done_is_said() {
        let unit = |was_enabled, was_configured| UnitReport {
            unit: "cxl_hmu_mem0.0.0".into(),
            outcome: UnitOutcome::PutBack {
                was_enabled,
                was_configured,
            },
        };
        let report = Report {
            units: vec![unit(true, true), unit(false, true), unit(false, false)],
            damon: DamonReport::TakenBack { was_running: true },
            sockets: vec!["/run/chmu/promote.sock".into()],
        };
        assert_eq!(
            report.to_string(),
            "cxl_hmu_mem0.0.0 counted; it is off and has its first configuration\n\
             cxl_hmu_mem0.0.0 was configured; it has its first configuration\n\
             cxl_hmu_mem0.0.0 is as after power-on\n\
             /run/chmu/promote.sock was left by a run that was killed; it is removed\n\
             DAMON still ran for a run that was killed; it is off and its worker removed"
        );
        let nothing = Report {
            units: Vec::new(),
            damon: DamonReport::Clean,
            sockets: Vec::new(),
        };
        let text = nothing.to_string();
        assert_eq!(text, "no unit to put back\nDAMON has nothing of ours");
        assert!(report.left().is_empty() && nothing.left().is_empty());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["units"][1]["was_configured"], true);
        assert_eq!(serde_json::to_value(&nothing).unwrap()["damon"], "clean");
    }

    #[test]
    fn what_is_left_as_it_was_is_said_and_fails() {
        let mut report = Report {
            units: Vec::new(),
            damon: DamonReport::Left("another program runs it".into()),
            sockets: Vec::new(),
        };
        assert_eq!(
            report.left(),
            ["DAMON is left as it was: another program runs it"]
        );
        report.damon = DamonReport::Clean;
        report.units.push(UnitReport {
            unit: "cxl_hmu_mem0.0.0".into(),
            outcome: UnitOutcome::Left {
                left: "process 7 has it".into(),
            },
        });
        assert_eq!(
            report.left(),
            ["cxl_hmu_mem0.0.0 is left as it was: process 7 has it"]
        );
        assert_eq!(report.to_string(), "DAMON has nothing of ours");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["units"][0]["left"], "process 7 has it");
    }
}
