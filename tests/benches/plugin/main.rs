// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What QEMU's plugin costs: processor seconds of QEMU for the same work in the guest without the
//! plugin, with one that does nothing at each access, with ours while no unit is enabled, and while one
//! is, by cache. Seconds of a processor hardly depend
//! on what else the machine does; all columns are measured in turn in each round all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use chmu_lab::machine::{Machine, MachineOptions, Software};
use chmu_lab::platform::PlatformOptions;
use chmu_lab::progress::Progress;
use chmu_lab::topology::Topology;
use chmu_tests::guest::PROGRAM_TIMEOUT;
use chmu_tests::processes;

/// Unless a number is given behind `--`.
const ROUNDS: usize = 3;
const PROGRAM: &str = include_str!("work.rs");
const EMPTY_PLUGIN: &str = include_str!("empty.rs");
/// A threshold that few pages reach; the first line says that the unit counts.
const ARM: &str = "chmu watch -o json --threshold=65535 --epoch=10s";

/// What the guest does.
const JOBS: [(&str, &str); 5] = [
    ("md5 of 48 MiB", "dd if=/dev/zero bs=1M count=48 | md5sum"),
    (
        "add over 64 KiB, 328 M accesses, no window",
        "/work add 65536 20000 0",
    ),
    (
        "load per line of 64 MiB, 63 M, no window",
        "/work load 67108864 60 0",
    ),
    (
        "load per line of 16 MiB, 15.7 M, window",
        "/work load 16777216 60 1",
    ),
    ("add over 128 KiB, 131 M, window", "/work add 131072 4000 1"),
];
const COLUMNS: [&str; 7] = [
    "no plugin",
    "empty callback",
    "disarmed",
    "armed",
    "armed, l2+llc",
    "armed, window",
    "armed, no cache",
];

/// Seconds by column; the first row is the boot, the others are [`JOBS`].
type Round = Vec<[Option<f64>; COLUMNS.len()]>;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = build(
        folder.path(),
        "work",
        PROGRAM,
        &["-Ctarget-feature=+crt-static"],
    )?;
    let empty = build(
        folder.path(),
        "empty",
        EMPTY_PLUGIN,
        &["--crate-type=cdylib"],
    )?;
    let software = software(&program)?;
    let mut rounds = Vec::new();
    let given = std::env::args().find_map(|word| word.parse().ok());
    for number in 1..=given.unwrap_or(ROUNDS) {
        let round = round(&software, &empty)?;
        let load = fs::read_to_string("/proc/loadavg")?;
        println!("round {number}, load {}: {round:.2?}", load.trim());
        rounds.push(round);
    }
    println!(
        "{:44} {}",
        "",
        COLUMNS.map(|column| format!("{column:>24}")).concat()
    );
    let names = ["boot to user space"]
        .into_iter()
        .chain(JOBS.map(|(name, _)| name));
    for (row, name) in names.enumerate() {
        let cells = (0..COLUMNS.len()).map(|column| cell(&rounds, row, column));
        println!("{name:44} {}", cells.collect::<String>());
    }
    Ok(())
}

/// The least seconds of all rounds, and the least and greatest ratio to no plugin in the same round.
fn cell(rounds: &[Round], row: usize, column: usize) -> String {
    let seconds: Vec<_> = rounds
        .iter()
        .filter_map(|round| round[row][column])
        .collect();
    let ratios = rounds
        .iter()
        .filter_map(|round| Some(round[row][column]? / round[row][0]?));
    let (mut low, mut high) = (f64::INFINITY, 0_f64);
    for ratio in ratios {
        (low, high) = (low.min(ratio), high.max(ratio));
    }
    let least = seconds.into_iter().fold(f64::INFINITY, f64::min);
    let text = match least.is_finite() {
        true => format!("{least:.2} ({low:.2} to {high:.2}x)"),
        false => String::new(),
    };
    format!("{text:>24}")
}

/// Builds one of the bench's own sources.
fn build(folder: &Path, name: &str, text: &str, options: &[&str]) -> Result<PathBuf> {
    let (source, built) = (folder.join(name).with_extension("rs"), folder.join(name));
    fs::write(&source, text)?;
    let status = Command::new("rustc")
        .args(["--edition=2024", "-O"])
        .args(options)
        .arg("-o")
        .args([&built, &source])
        .status()?;
    ensure!(status.success(), "rustc fails: {status}");
    Ok(built)
}

fn software(program: &Path) -> Result<Software> {
    let program = program.to_str().context("The folder's name is no text")?;
    let options = PlatformOptions {
        guest_files: vec![program.parse().map_err(anyhow::Error::msg)?],
        ..PlatformOptions::default()
    };
    Ok(Software::obtain(&options, None, &Progress::hidden())?.1)
}

fn round(software: &Software, empty: &Path) -> Result<Round> {
    let mut round = vec![[None; COLUMNS.len()]; 1 + JOBS.len()];
    for (column, plugin) in [None, Some(empty.to_owned())].into_iter().enumerate() {
        let software = Software {
            plugin,
            ..software.clone()
        };
        let mut guest = Guest::boot(&software, &[])?;
        round[0][column] = Some(guest.seconds()?);
        guest.work(&mut round, column)?;
        guest.machine.shut_down()?;
    }
    let mut guest = Guest::boot(software, &[])?;
    round[0][2] = Some(guest.seconds()?);
    guest.work(&mut round, 2)?;
    guest.arm()?;
    guest.work(&mut round, 3)?;
    guest.machine.shut_down()?;
    let others = ["cache=l2:1M:16+llc:8M:16", "filter=window", "cache=none"];
    for (column, option) in (4..).zip(others) {
        let mut guest = Guest::boot(software, &[option])?;
        guest.arm()?;
        guest.work(&mut round, column)?;
        guest.machine.shut_down()?;
    }
    Ok(round)
}

struct Guest {
    machine: Machine,
    qemu: u32,
}

impl Guest {
    fn boot(software: &Software, plugin_options: &[&str]) -> Result<Self> {
        let mut topology = Topology::default();
        for node in &mut topology.nodes {
            node.processors = node.processors.min(1);
        }
        let options = MachineOptions {
            plugin_options: plugin_options
                .iter()
                .map(|&option| option.to_owned())
                .collect(),
            ..MachineOptions::default()
        };
        let machine = Machine::start(&topology, &options, software, &Progress::hidden())?;
        let qemu = processes::child("qemu-system")?;
        Ok(Self { machine, qemu })
    }

    /// Processor time of all of QEMU's threads.
    fn seconds(&self) -> Result<f64> {
        let mut seconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.qemu))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanoseconds = text.split(' ').next().context("An empty schedstat")?;
            seconds += nanoseconds.parse::<f64>()? / 1e9;
        }
        Ok(seconds)
    }

    fn shell(&mut self, script: &str) -> Result<()> {
        let output = self.machine.run(&["sh", "-c", script], PROGRAM_TIMEOUT)?;
        ensure!(output.exit_code == 0, "{script}: {}", output.stderr);
        Ok(())
    }

    /// Enables a unit, and waits until the plugin has taken note.
    fn arm(&mut self) -> Result<()> {
        let watch = format!("exec {ARM} >/run/watch 2>/run/complaint");
        let watch = self.machine.spawn(&["sh", "-c", &watch])?;
        self.shell(&format!(
            "until [ -s /run/watch ]; do kill -0 {watch} || {{ cat /run/complaint >&2; exit 1; }}; \
             sleep 0.05; done"
        ))?;
        let feed = &self.machine.statistics(0)?["feed"];
        let is_armed = feed["armed"] == true && feed["acknowledged"] == true;
        ensure!(is_armed, "The plugin is not armed: {feed}");
        Ok(())
    }

    fn work(&mut self, round: &mut Round, column: usize) -> Result<()> {
        for (row, (_, script)) in JOBS.iter().enumerate() {
            let before = self.seconds()?;
            self.shell(script)?;
            round[1 + row][column] = Some(self.seconds()? - before);
        }
        Ok(())
    }
}
