// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs scenarios; those that need the same machine share a boot, and several machines may run at a time.

use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Context, Result};

use super::bench::Bench;
use super::result::{Results, ScenarioResult, Verdict};
use super::{Needs, Scenario, Skip, leftovers};
use crate::kernel_log;
use crate::machine::{Interrupted, Machine, MachineOptions, Software};
use crate::progress::Progress;
use crate::side_by_side::{Piece, side_by_side};
use crate::topology::Topology;
use crate::topology::presets::Preset;

/// What a guest runs.
#[derive(Debug, Clone, Copy)]
pub struct OnKernel<'a> {
    /// For people who look at the progress of several.
    pub name: &'a str,
    /// With which kernel.
    pub software: &'a Software,
}

/// Runs scenarios on one kernel or on several.
#[derive(Debug)]
pub struct Runner<'a> {
    /// What the guests run.
    pub kernels: &'a [OnKernel<'a>],
    /// Guests that may run at a time.
    pub at_once: NonZeroUsize,
    /// Where to say what is being done.
    pub progress: &'a Progress,
    /// Keeps the runs' folders.
    pub keep: bool,
}

impl Runner<'_> {
    /// Runs them all. What goes wrong is the result of the scenario in which it does.
    ///
    /// # Errors
    /// When the user stops the lab.
    pub fn run(&self, scenarios: &[Scenario]) -> Result<Results> {
        let groups = by_machine(scenarios);
        let mut pieces = Vec::new();
        for kernel in self.kernels {
            pieces.extend(groups.iter().map(|group| Piece {
                name: format!("{} {}", kernel.name, group[0].needs.topology),
                size: group.len(),
                work: (kernel.software, group),
            }));
        }
        let (scenarios, guests) = (scenarios.len() * self.kernels.len(), pieces.len());
        let what = format!("Running {scenarios} scenarios in {guests} guests");
        self.progress.step(what);
        let done = side_by_side(&pieces, self.at_once, self.progress, |work, progress| {
            let (software, group) = *work;
            let lane = Lane {
                software,
                progress,
                keep: self.keep,
            };
            lane.run_group(group)
        });
        Ok(Results(done?.into_iter().flatten().collect()))
    }
}

/// Runs scenarios one after the other.
#[derive(Debug)]
struct Lane<'a> {
    software: &'a Software,
    progress: &'a Progress,
    keep: bool,
}

impl Lane<'_> {
    /// Runs those of one machine.
    fn run_group(&self, group: &[Scenario]) -> Result<Vec<ScenarioResult>> {
        let mut results = Vec::with_capacity(group.len());
        let mut booted = None;
        for scenario in group {
            let begin = Instant::now();
            let guest = match booted.take() {
                Some(guest) => Ok(guest),
                None => Guest::boot(scenario.needs, self),
            };
            let mut guest = match guest {
                Ok(guest) => guest,
                Err(error) => {
                    let result = failed(scenario.name, "", error, begin)?;
                    self.progress.say(&result.line());
                    results.push(result);
                    continue;
                }
            };
            let (result, state) = self.run_one(scenario, &mut guest)?;
            self.progress.say(&result.line());
            results.push(result);
            match state {
                State::Good if !scenario.needs.alone => booted = Some(guest),
                State::Good => note(&mut results, guest.shut_down(self.keep)),
                State::Spoilt => {}
            }
        }
        if let Some(guest) = booted {
            note(&mut results, guest.shut_down(self.keep));
        }
        Ok(results)
    }

    fn run_one(&self, scenario: &Scenario, guest: &mut Guest) -> Result<(ScenarioResult, State)> {
        let begin = Instant::now();
        self.progress.step(format!("Running {}", scenario.name));
        let kernel = guest.machine.kernel().to_owned();
        let mut bench = Bench::new(&mut guest.machine, &guest.topology, self.progress);
        let ran = (scenario.run)(&mut bench);
        let (mut reasons, figures) = (bench.reasons, bench.figures);
        let allowances = bench.allowances;
        if let Err(error) = ran {
            let Some(Skip(reason)) = error.downcast_ref() else {
                let mut result = failed(scenario.name, &kernel, error, begin)?;
                result.reasons.splice(..0, reasons);
                result.figures = figures;
                return Ok((result, State::Spoilt));
            };
            let mut result = ScenarioResult::judged(
                scenario.name,
                &kernel,
                vec![reason.clone()],
                figures,
                begin.elapsed(),
            );
            result.verdict = Verdict::Skip;
            return Ok((result, State::Good));
        }
        let left = leftovers::find(&mut guest.machine, &allowances);
        let left = left.unwrap_or_else(|error| vec![format!("{error:#}")]);
        let state = match left.is_empty() {
            true => State::Good,
            false => State::Spoilt,
        };
        reasons.extend(left);
        let time = begin.elapsed();
        let result = ScenarioResult::judged(scenario.name, &kernel, reasons, figures, time);
        Ok((result, state))
    }
}

/// Whether a guest can serve the next scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Spoilt,
}

struct Guest {
    machine: Machine,
    topology: Topology,
}

impl Guest {
    fn boot(needs: Needs, lane: &Lane<'_>) -> Result<Self> {
        let topology = needs.topology.parse::<Preset>()?.topology();
        let device = needs.device.parse::<toml::Table>();
        let device = device.context("The scenario's settings of its device are no TOML")?;
        let options = MachineOptions {
            keep: lane.keep,
            may_reboot: needs.reboots,
            oracle: needs.oracle,
            device_settings: vec![device; topology.devices().len()],
            ..MachineOptions::default()
        };
        let mut machine = Machine::start(&topology, &options, lane.software, lane.progress)?;
        let mut findings = kernel_log::check_cxl_bus(&mut machine, &topology)?;
        findings.extend(kernel_log::check(&mut machine, &[])?);
        let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
        anyhow::ensure!(
            findings.is_empty(),
            "After the boot: {}",
            findings.join("; ")
        );
        Ok(Self { machine, topology })
    }

    /// Switches the guest off; its folder must be gone unless it is to be kept.
    fn shut_down(self, keep: bool) -> Result<()> {
        let folder = self.machine.folder().to_owned();
        self.machine.shut_down()?;
        anyhow::ensure!(
            keep || !folder.exists(),
            "The run has left its folder {}",
            folder.display()
        );
        Ok(())
    }
}

/// A failure to switch a guest off counts against the last scenario that ran in it.
fn note(results: &mut [ScenarioResult], ended: Result<()>) {
    if let (Err(error), Some(last)) = (ended, results.last_mut()) {
        last.reasons.push(format!("{error:#}"));
        last.verdict = Verdict::Fail;
    }
}

/// The result of a scenario that could not be brought to its end; a user who stops the lab stops
/// the others too.
fn failed(
    scenario: &'static str,
    kernel: &str,
    error: anyhow::Error,
    begin: Instant,
) -> Result<ScenarioResult> {
    if error.is::<Interrupted>() {
        return Err(error);
    }
    let reasons = vec![format!("{error:#}")];
    let figures = serde_json::Map::new();
    Ok(ScenarioResult::judged(
        scenario,
        kernel,
        reasons,
        figures,
        begin.elapsed(),
    ))
}

/// Those with the same needs together, in the order in which the first of each comes.
fn by_machine(scenarios: &[Scenario]) -> Vec<Vec<Scenario>> {
    let mut groups: Vec<Vec<Scenario>> = Vec::new();
    for scenario in scenarios {
        let mut groups_so_far = groups.iter_mut();
        match groups_so_far.find(|group| group[0].needs == scenario.needs) {
            Some(group) => group.push(*scenario),
            None => groups.push(vec![*scenario]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &'static str, topology: &'static str) -> Scenario {
        Scenario {
            name,
            summary: "",
            needs: Needs::topology(topology),
            run: |_| Ok(()),
        }
    }

    #[test]
    fn scenarios_with_the_same_machine_share_it() {
        let scenarios = [("a", "x"), ("b", "y"), ("c", "x")].map(|(name, on)| scenario(name, on));
        let groups = by_machine(&scenarios);
        let names: Vec<Vec<_>> = groups
            .iter()
            .map(|group| group.iter().map(|it| it.name).collect())
            .collect();
        assert_eq!(names, [vec!["a", "c"], vec!["b"]]);
    }

    #[test]
    fn a_failure_at_the_end_counts() {
        let result = ScenarioResult::judged(
            "a",
            "7",
            vec![],
            serde_json::Map::new(),
            std::time::Duration::ZERO,
        );
        let mut results = [result];
        note(&mut results, Ok(()));
        assert_eq!(results[0].verdict, Verdict::Pass);
        note(&mut results, Err(anyhow::anyhow!("no")));
        assert_eq!(results[0].verdict, Verdict::Fail);
    }
}
