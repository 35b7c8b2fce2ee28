// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The promotion engine, as `chmu bench` measures it in a guest.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::{Measurement, Subject, Target};
use crate::machine::{Machine, MachineOptions, Software};
use crate::progress::Progress;
use crate::spread::Spread;
use crate::topology::Topology;

/// Batches of each sort in a round.
const BATCHES: &str = "10";
/// For one round; most of it is making a thousand processes.
const ROUND_TIME: Duration = Duration::from_secs(900);

/// What the guest's program prints.
#[derive(Debug, Deserialize)]
struct Report {
    measurements: Vec<Printed>,
}

#[derive(Debug, Deserialize)]
struct Printed {
    name: String,
    unit: String,
    value: f64,
    floor: Option<f64>,
    ratio: f64,
    target: f64,
}

pub(super) fn measure(
    rounds: u32,
    software: &Software,
    progress: &Progress,
) -> Result<(String, Vec<Measurement>)> {
    let options = MachineOptions::default();
    let mut machine = Machine::start(&Topology::default(), &options, software, progress)?;
    let mut reports = Vec::new();
    for round in 1..=rounds {
        progress.step(format!("Batches of the engine, round {round} of {rounds}"));
        let command = [
            "chmu", "bench", "actuator", "--rounds", BATCHES, "-o", "json",
        ];
        let output = machine.run(&command, ROUND_TIME)?;
        ensure!(
            output.exit_code == 0,
            "chmu bench fails in the guest, with code {}: {}{}",
            output.exit_code,
            output.stdout,
            output.stderr
        );
        let report: Report = serde_json::from_str(&output.stdout)
            .context("chmu bench prints something else than a report")?;
        reports.push(report.measurements);
    }
    let kernel = machine.kernel().to_owned();
    machine.shut_down()?;
    Ok((kernel, of_rounds(&reports)?))
}

/// Each measurement of the first round, in the middle of all.
fn of_rounds(reports: &[Vec<Printed>]) -> Result<Vec<Measurement>> {
    let first = reports.first().map(Vec::as_slice).unwrap_or_default();
    let measurements = first.iter().map(|printed| {
        let rounds = reports.iter().map(|report| {
            let same = report.iter().find(|other| other.name == printed.name);
            same.with_context(|| format!("A round has no {}", printed.name))
        });
        let rounds = rounds.collect::<Result<Vec<_>>>()?;
        let middle = |figure: fn(&Printed) -> Option<f64>| {
            Some(Spread::of(rounds.iter().filter_map(|one| figure(one)))?.median)
        };
        let ratios = Spread::of(rounds.iter().map(|one| one.ratio));
        // Without a floor its ratio says nothing that its value does not.
        let (ratio, against, target) = match printed.floor {
            Some(_) => (
                ratios,
                Some("one call".to_owned()),
                Target::RatioAtLeast(printed.target),
            ),
            None => (None, None, Target::ValueAtMost(printed.target)),
        };
        Ok(Measurement {
            subject: Subject::Engine,
            name: printed.name.clone(),
            unit: printed.unit.clone(),
            value: middle(|one| Some(one.value)).unwrap_or(f64::NAN),
            floor: middle(|one| one.floor),
            ratio,
            against,
            target: Some(target),
            met: None,
        }
        .judged())
    });
    measurements.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(name: &str, value: f64, floor: Option<f64>, target: f64) -> Printed {
        Printed {
            name: name.to_owned(),
            unit: "ms".to_owned(),
            value,
            floor,
            ratio: floor.unwrap_or(target) / value,
            target,
        }
    }

    #[test]
    fn a_measurement_is_the_middle_of_its_rounds() {
        let round = |batch, set_up| {
            vec![
                printed("batch", batch, Some(10.0), 0.8),
                printed("set-up", set_up, None, 5.0),
            ]
        };
        let found = of_rounds(&[round(11.0, 4.0), round(40.0, 9.0), round(12.0, 6.0)]).unwrap();
        assert_eq!((found[0].value, found[0].met), (12.0, Some(true)));
        assert_eq!((found[1].value, found[1].met), (6.0, Some(false)));
        assert!(found[1].ratio.is_none());
        let mut rounds = [round(1.0, 1.0), round(1.0, 1.0)];
        rounds[1].pop();
        assert!(of_rounds(&rounds).is_err());
    }
}
