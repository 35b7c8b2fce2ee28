// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu reset`: puts back what a run that was killed has left.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use chmu_driver::device::ownership::Registry;
use chmu_driver::device::{Selection, Unit, open_all_units};
use chmu_machine::words;
use chmu_promotion::actuator::Places;
use chmu_promotion::actuator::damon::{self, Remains};
use serde::Serialize;

use super::output::Output;
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
}

#[derive(Debug, Serialize)]
struct UnitReport {
    unit: String,
    /// It counted, for nobody.
    was_enabled: bool,
    /// Registers held another configuration than after power-on.
    was_configured: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum DamonReport {
    /// Nothing of ours was there.
    Clean,
    /// A worker was removed, which still ran if so.
    TakenBack { was_running: bool },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unit in &self.units {
            let found = match (unit.was_enabled, unit.was_configured) {
                (true, _) => "counted; it is off and has its first configuration",
                (false, true) => "was configured; it has its first configuration",
                (false, false) => "is as after power-on",
            };
            writeln!(f, "{} {found}", unit.unit)?;
        }
        if self.units.is_empty() {
            writeln!(f, "{} to put back", words::count(0, "unit", "units"))?;
        }
        f.write_str(match self.damon {
            DamonReport::Clean => "DAMON has nothing of ours",
            DamonReport::TakenBack { was_running: true } => {
                "DAMON still ran for a run that was killed; it is off and its worker removed"
            }
            DamonReport::TakenBack { was_running: false } => {
                "DAMON had a worker of a run that was killed; it is removed"
            }
        })
    }
}

pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    // A chmu that promotes keeps DAMON for itself: nothing is touched while one does.
    let damon = match damon::reset(&Places::default())? {
        Remains::None => DamonReport::Clean,
        Remains::TakenBack { running } => DamonReport::TakenBack {
            was_running: running > 0,
        },
    };
    let selection = Selection {
        device: options.device,
        unit: None,
        opening: options.reach.opening(),
    };
    let registry = Registry::default();
    let mut units = Vec::new();
    for mut unit in open_all_units(Path::new("/sys"), &selection)? {
        registry.claim(&mut unit, options.take_over)?;
        units.push(put_back(&mut unit)?);
    }
    options.output.print(&Report { units, damon })?;
    Ok(ExitCode::SUCCESS)
}

fn put_back(unit: &mut Unit) -> anyhow::Result<UnitReport> {
    let was_enabled = unit.status()?.enabled();
    let was_configured = unit.restore()?;
    Ok(UnitReport {
        unit: unit.name().to_owned(),
        was_enabled,
        was_configured,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_and_done_is_said() {
        let unit = |was_enabled, was_configured| UnitReport {
            unit: "cxl_hmu_mem0.0.0".into(),
            was_enabled,
            was_configured,
        };
        let report = Report {
            units: vec![unit(true, true), unit(false, true), unit(false, false)],
            damon: DamonReport::TakenBack { was_running: true },
        };
        assert_eq!(
            report.to_string(),
            "cxl_hmu_mem0.0.0 counted; it is off and has its first configuration\n\
             cxl_hmu_mem0.0.0 was configured; it has its first configuration\n\
             cxl_hmu_mem0.0.0 is as after power-on\n\
             DAMON still ran for a run that was killed; it is off and its worker removed"
        );
        let nothing = Report {
            units: Vec::new(),
            damon: DamonReport::Clean,
        };
        let text = nothing.to_string();
        assert_eq!(text, "no unit to put back\nDAMON has nothing of ours");
        let json = serde_json::to_value(&nothing).unwrap();
        assert_eq!(json["damon"], "clean");
    }
}
