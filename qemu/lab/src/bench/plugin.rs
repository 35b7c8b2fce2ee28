// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What QEMU's plugin costs: processor seconds of QEMU for the same work in the guest without the plugin, with one that
//! does nothing at each access, with ours while no unit is enabled, and while one is, by cache.
//!
//! Seconds of a processor hardly depend on what else the machine does; all columns are measured in turn in each round
//! all the same.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::programs::{BenchPrograms, PLACE};
use super::{Measurement, Subject, Target};
use crate::machine::{Machine, MachineOptions, Software};
use crate::progress::Progress;
use crate::topology::Topology;

/// For one job; a busy host is slow.
const JOB_TIME: Duration = Duration::from_secs(300);
/// A threshold that few pages reach; the first line says that the unit counts.
const ARM: &str = "chmu watch -o json --threshold=65535 --epoch=10s";

/// A job of the guest, and the node of its memory: 0 is DRAM, 1 is the device.
const PROGRAM: [(&str, &str); 4] = [
    ("table", "0"),
    ("hash", "1"),
    ("chase", "1"),
    ("stream", "0"),
];
/// Nothing but hits: the dearest work there is for who looks at each access. It is no part of the program.
const HITS: (&str, &str) = ("add", "0");

/// What looks at accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observer {
    Nobody,
    Empty,
    Disarmed,
    /// With these options of the plugin.
    Armed(Option<&'static str>),
}

/// In the order in which they are measured; the first is the floor of all.
const OBSERVERS: [(&str, Observer); 7] = [
    ("no plugin", Observer::Nobody),
    ("empty callback", Observer::Empty),
    ("no unit enabled", Observer::Disarmed),
    ("armed", Observer::Armed(None)),
    (
        "armed, l2 and llc",
        Observer::Armed(Some("cache=l2:1M:16+llc:8M:16")),
    ),
    (
        "armed, windows only",
        Observer::Armed(Some("filter=window")),
    ),
    ("armed, no cache", Observer::Armed(Some("cache=none"))),
];
const EMPTY: usize = 1;
const DISARMED: usize = 2;
const ARMED: usize = 3;

/// Of one guest: seconds of its boot, and of each job, the hits last.
#[derive(Debug)]
struct Seconds {
    boot: f64,
    jobs: Vec<f64>,
    /// What the jobs printed, which is the same whoever looks.
    sums: Vec<String>,
}

impl Seconds {
    /// Of all jobs of the program.
    fn program(&self) -> f64 {
        self.jobs.iter().take(PROGRAM.len()).sum()
    }
}

pub(super) fn measure(
    rounds: u32,
    (software, programs): (&Software, &BenchPrograms),
    progress: &Progress,
) -> Result<(String, Vec<Measurement>)> {
    let (mut kernel, mut all) = (String::new(), Vec::new());
    for round in 1..=rounds {
        let mut row = Vec::new();
        for (name, observer) in OBSERVERS {
            let what = format!("The plugin's cost, round {round} of {rounds}: {name}");
            let empty = &programs.empty_plugin;
            let (release, seconds) = observe(observer, software, empty, (&what, progress))?;
            kernel = release;
            row.push(seconds);
        }
        let sums = row.iter().map(|seconds| &seconds.sums);
        ensure!(
            sums.clone().all(|sums| *sums == row[0].sums),
            "The work has other results with a plugin: {:?}",
            sums.collect::<Vec<_>>()
        );
        all.push(row);
    }
    Ok((kernel, measurements(&all)))
}

/// Runs all jobs in a guest of one processor.
fn observe(
    observer: Observer,
    software: &Software,
    empty: &Path,
    (what, progress): (&str, &Progress),
) -> Result<(String, Seconds)> {
    let plugin = match observer {
        Observer::Nobody => None,
        Observer::Empty => Some(empty.to_owned()),
        Observer::Disarmed | Observer::Armed(_) => software.plugin.clone(),
    };
    let software = Software {
        plugin,
        ..software.clone()
    };
    let mut topology = Topology::default();
    for node in &mut topology.nodes {
        node.processors = node.processors.min(1);
    }
    let plugin_options = match observer {
        Observer::Armed(Some(option)) => vec![option.to_owned()],
        _ => Vec::new(),
    };
    let options = MachineOptions {
        plugin_options,
        ..MachineOptions::default()
    };
    let mut machine = Machine::start(&topology, &options, &software, progress)?;
    progress.step(what);
    let boot = machine.qemu_seconds()?;
    if matches!(observer, Observer::Armed(_)) {
        arm(&mut machine)?;
    }
    let (mut jobs, mut sums) = (Vec::new(), Vec::new());
    for (job, node) in PROGRAM.into_iter().chain([HITS]) {
        let before = machine.qemu_seconds()?;
        sums.push(machine.run_checked(&[&format!("/{PLACE}"), job, node], JOB_TIME)?);
        jobs.push(machine.qemu_seconds()? - before);
    }
    let kernel = machine.kernel().to_owned();
    machine.shut_down()?;
    Ok((kernel, Seconds { boot, jobs, sums }))
}

/// Enables a unit, and waits until the plugin has taken note.
fn arm(machine: &mut Machine) -> Result<()> {
    let watch = format!("exec {ARM} >/run/watch 2>/run/complaint");
    let watch = machine.spawn(&["sh", "-c", &watch])?;
    let wait = format!(
        "until [ -s /run/watch ]; do kill -0 {watch} || {{ cat /run/complaint >&2; exit 1; }}; sleep 0.05; done"
    );
    machine.run_checked(&["sh", "-c", &wait], JOB_TIME)?;
    let feed = &machine.statistics(0)?["feed"];
    let is_armed = feed["armed"] == true && feed["acknowledged"] == true;
    ensure!(is_armed, "The plugin is not armed: {feed}");
    Ok(())
}

fn measurements(rounds: &[Vec<Seconds>]) -> Vec<Measurement> {
    let of = |observer: usize, seconds: &dyn Fn(&Seconds) -> f64| -> Vec<f64> {
        rounds
            .iter()
            .map(|round| seconds(&round[observer]))
            .collect()
    };
    let against =
        |what: &str, observer: usize, other: usize, seconds: &dyn Fn(&Seconds) -> f64, target| {
            let (name, floor) = (OBSERVERS[observer].0, OBSERVERS[other].0);
            Measurement::against(
                (Subject::Plugin, format!("{what}: {name}")),
                (&of(observer, seconds), &of(other, seconds)),
                floor,
                target,
            )
        };
    let mut found = Vec::new();
    let program = |seconds: &Seconds| seconds.program();
    for (observer, (_, what)) in OBSERVERS.into_iter().enumerate().skip(EMPTY) {
        let target = match what {
            Observer::Disarmed => Some(Target::RatioAtMost(DISARMED_MOST)),
            Observer::Armed(None) => Some(Target::RatioAtMost(ARMED_MOST)),
            _ => None,
        };
        found.push(against("program", observer, 0, &program, target));
    }
    let target = Some(Target::RatioAtMost(ARMED_TO_EMPTY_MOST));
    found.push(against("program", ARMED, EMPTY, &program, target));
    for (job, (name, _)) in PROGRAM.into_iter().chain([HITS]).enumerate() {
        let seconds = |seconds: &Seconds| seconds.jobs[job];
        for observer in EMPTY..OBSERVERS.len() {
            found.push(against(name, observer, 0, &seconds, None));
        }
    }
    for observer in [EMPTY, DISARMED] {
        found.push(against("boot", observer, 0, &|seconds| seconds.boot, None));
    }
    found
}

/// While no unit is enabled nothing is instrumented; the rest is noise.
const DISARMED_MOST: f64 = 1.05;
const ARMED_MOST: f64 = 1.45;
const ARMED_TO_EMPTY_MOST: f64 = 1.2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bench::Measured;
    use crate::runs::Outcome;

    #[test]
    fn each_figure_has_a_name_of_its_own_and_each_observer_its_seconds() {
        let round = (1..=OBSERVERS.len()).map(|observer| Seconds {
            boot: 10.0 * observer as f64,
            jobs: vec![observer as f64; PROGRAM.len() + 1],
            sums: Vec::new(),
        });
        let measured = Measured {
            v: 1,
            kernel: String::new(),
            rounds: 1,
            load: [0.0; 2],
            measurements: measurements(&[round.collect()]),
        };
        let names = measured.figures().into_iter().map(|figure| figure.name);
        let names: Vec<_> = names.collect();
        let different: BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
        let armed = measured
            .measurements
            .iter()
            .filter(|one| one.name == "program: armed");
        let ratios: Vec<_> = armed.map(|one| one.ratio.unwrap().median).collect();
        assert_eq!(
            ratios,
            [4.0, 2.0],
            "to no plugin, and to the empty callback"
        );
    }
}
