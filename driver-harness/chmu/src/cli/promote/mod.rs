// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu promote`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use chmu_machine::cpusets;
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;
use chmu_machine::targets::Targets;
use chmu_machine::topology::Topology;
use chmu_machine::words;
use chmu_promotion::actuator::{Actuator, DryRun, Places};
use chmu_promotion::ledger::{Event, LedgerWriter, WriteError};
use chmu_promotion::source::StreamSource;
use chmu_promotion::status::Time;
use chmu_promotion::telemetry::{DamonTelemetry, Telemetry};
use chmu_promotion::{
    DescribedMachine, Destination, End, Engine, LargeFolios, Machine, Parts, Policy, Summary,
    ThisMachine, run_inline, run_on_machine,
};

use self::actuators::ActuatorOptions;
use self::sources::{SourceOptions, Sources};
use super::files::{self, Named, Way};
use super::output::Output;
use super::reporting::{Reporting, ReportingOptions};
use super::signals::Signals;
use super::values::{self, positive};

mod actuators;
mod described;
mod sources;

/// The switch of the kernel's own promotion.
const BALANCING: &str = "/proc/sys/kernel/numa_balancing";

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    actuator: ActuatorOptions,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    end: EndOptions,
    /// Writes every decision to this file, as JSON lines.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    reporting: ReportingOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is promoted, and how fast")]
struct PolicyOptions {
    /// The node that pages go to [default: computed for each page from where it is].
    #[arg(long, value_name = "NODE")]
    target: Option<u32>,
    /// At most so many pages in a second; after a pause a quarter of that may go at once.
    #[arg(long, value_name = "PAGES", value_parser = positive::<u64>)]
    max_pages_per_second: Option<u64>,
    /// Pages with fewer accesses are left where they are; older accesses count less.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    minimum_count: u64,
    /// Time in which the weight of an access halves.
    #[arg(long, value_name = "TIME", value_parser = values::lasting, default_value = "2s")]
    half_life: Duration,
    /// A page that was promoted, demoted and is hot again within this time stays where it is for as
    /// long.
    #[arg(long, value_name = "TIME", value_parser = values::lasting, default_value = "30s")]
    ping_pong_window: Duration,
    /// Makes room on a target that has none: demotes its coldest pages, as many as are needed, where DAMON
    /// can watch it.
    #[arg(long)]
    demote_coldest: bool,
    /// At most so many folios in one batch.
    #[arg(long, value_name = "FOLIOS", value_parser = positive::<usize>)]
    batch: Option<usize>,
    /// When a huge page or another large folio moves: whole, as soon as a page of it is hot, or
    /// dense:PERCENT, when so many of its pages are.
    #[arg(long, value_name = "WHEN", value_parser = large_folios, default_value = "whole")]
    large_folios: LargeFolios,
    /// Promotes units that cover several pages, although nobody knows which of these are hot.
    #[arg(long)]
    allow_coarse_units: bool,
    /// What is left to chance depends on this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "When it ends (at SIGTERM in any case)")]
struct EndOptions {
    /// After so many epochs.
    #[arg(long, value_name = "COUNT", value_parser = positive::<u64>)]
    epochs: Option<u64>,
    /// After so many seconds, from when sources count on.
    #[arg(long, value_parser = positive::<u64>)]
    seconds: Option<u64>,
    /// When some pages have been promoted but none in the last three epochs.
    #[arg(long)]
    until_stable: bool,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    options.check()?;
    let signals = Signals::catch()?;
    let summary = match options.source.stream() {
        Some(path) if options.actuator.is_dry() => run_described(options, path, signals.stop())?,
        _ => run_here(options, signals.stop())?,
    };
    options.output.print(&summary)?;
    Ok(ExitCode::SUCCESS)
}

/// Decides on a stream's pages, by its own time and the machine that it describes: this machine is not
/// asked, and nothing is moved.
fn run_described(options: &Options, path: &Path, stop: &StopFlag) -> Result<Summary> {
    let source = StreamSource::open(path, stop)?;
    let topology = described::topology(options.source.from.as_deref(), &source)?;
    check_target(options.policy.target, &topology)?;
    let machine = DescribedMachine::new(topology);
    let mut engine = Engine::new(options.policy.policy(&DryRun), options.policy.seed);
    let mut ledger = Ledger::create(options.ledger.as_deref())?;
    let reporting = options.reporting.start(Time::Events)?;
    let mut sink = |events: &[Event]| ledger.write(events, &reporting);
    let source = Box::new(source);
    let end = options.end.end();
    let actuator = Box::new(DryRun);
    Ok(run_inline(
        &mut engine,
        &machine,
        source,
        actuator,
        &mut sink,
        end,
        stop,
    )?)
}

/// Promotes pages of this machine.
fn run_here(options: &Options, stop: &StopFlag) -> Result<Summary> {
    // What a user can put right comes before what the kernel lacks: files and values, the device,
    // then the actuator.
    if options.policy.target.is_some() {
        check_target(options.policy.target, &Topology::read(Path::new("/sys"))?)?;
    }
    if options.source.from.is_some() {
        bail!("--from is of use only with --source stream:FILE and --dry-run");
    }
    let sources = Sources::find(&options.source, options.policy.allow_coarse_units, stop)?;
    let mut ledger = Ledger::create(options.ledger.as_deref())?;
    let reporting = options.reporting.start(Time::Machine)?;
    let actuator = options.actuator.prepare()?;
    let mut machine = ThisMachine::open()?;
    if options.policy.demote_coldest {
        machine.find_owners();
    }
    let actuator = actuator.start()?;
    warn_of_balancing();
    if !actuator.limits().obeys_cpusets {
        warn_of_cpusets(actuator.name(), options.policy.target, &machine);
    }
    let mut engine = Engine::new(options.policy.policy(&*actuator), options.policy.seed);
    let mut end = options.end.end();
    end.when_idle = true;
    let sources = sources.start()?;
    options.source.tune(&mut engine, &sources);
    let telemetry = options.policy.telemetry();
    let mut sink = |events: &[Event]| ledger.write(events, &reporting);
    Ok(run_on_machine(
        &mut engine,
        &machine,
        Parts {
            sources,
            actuator,
            telemetry,
        },
        &mut sink,
        end,
        stop,
    )?)
}

/// The node that pages are to go to must have memory.
fn check_target(target: Option<u32>, topology: &Topology) -> Result<()> {
    match target {
        None => Ok(()),
        Some(node) => Ok(topology.check_named(NodeId(node))?),
    }
}

/// NUMA balancing knows nothing of what a device reports, and moves pages by itself.
fn warn_of_balancing() {
    let setting = std::fs::read_to_string(BALANCING).unwrap_or_default();
    if !matches!(setting.trim(), "" | "0") {
        log::warn!(
            "The kernel's NUMA balancing moves pages too; write 0 to {BALANCING} to stop it"
        );
    }
}

/// An actuator that heeds no cpuset puts pages where their process may not have them.
fn warn_of_cpusets(actuator: &str, target: Option<u32>, machine: &dyn Machine) {
    let targets = match target {
        Some(node) => BTreeSet::from([NodeId(node)]),
        None => machine
            .topology()
            .map_or_else(|_| BTreeSet::new(), |topology| all_targets(&topology)),
    };
    for node in targets {
        if let Ok(Some(confined)) = cpusets::confined(Path::new("/proc"), node) {
            log::warn!(
                "{actuator} heeds no cpusets: hot pages of {}, such as process {}, will be promoted to \
                 node {node} although they may not use it; --actuator move-pages leaves them",
                words::count(confined.processes, "process", "processes"),
                confined.first
            );
        }
    }
}

/// The nodes that pages of any node go to.
fn all_targets(topology: &Topology) -> BTreeSet<NodeId> {
    let targets = topology
        .nodes
        .keys()
        .map(|node| Targets::of(topology, *node));
    targets
        .flatten()
        .flat_map(|targets| targets.preferred)
        .collect()
}

/// Where decisions are written, if anywhere.
struct Ledger(Option<LedgerWriter<std::fs::File>>);

impl Ledger {
    fn create(path: Option<&Path>) -> Result<Ledger, WriteError> {
        path.map(LedgerWriter::create).transpose().map(Ledger)
    }

    fn write(&mut self, events: &[Event], reporting: &Reporting) -> Result<(), WriteError> {
        if let Some(ledger) = &mut self.0 {
            ledger.write(events)?;
        }
        reporting.note(events);
        Ok(())
    }
}

impl Options {
    /// Refuses what would be lost, or do nothing.
    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.actuator.check()?;
        ensure!(
            !(self.policy.demote_coldest && self.actuator.is_dry()),
            "--demote-coldest moves pages, and a dry run none; leave one of them out"
        );
        let named = |option, path| Named { option, path };
        let ledger = self.ledger.as_deref();
        let ledger = ledger.map(|path| (named("--ledger", path), Way::Lines));
        let metrics = self.reporting.metrics();
        let metrics = metrics.map(|path| (named("--metrics", path), Way::Replaced));
        let sockets = self.reporting.sockets();
        let sockets = sockets.map(|(option, path)| (named(option, path), Way::Socket));
        let outputs: Vec<_> = ledger.into_iter().chain(metrics).chain(sockets).collect();
        files::check(&self.source.files(), &outputs)
    }
}

impl PolicyOptions {
    /// What watches fast memory, where that is of use and can be had.
    fn telemetry(&self) -> Option<Box<dyn Telemetry>> {
        if !self.demote_coldest {
            return None;
        }
        match DamonTelemetry::new(Places::default()) {
            Ok(telemetry) => Some(Box::new(telemetry)),
            Err(error) => {
                let why = words::describe(&error);
                log::warn!(
                    "No room is made on full targets, as fast memory cannot be watched: {why}"
                );
                None
            }
        }
    }

    fn policy(&self, actuator: &dyn Actuator) -> Policy {
        let default = Policy::default();
        let most = self.batch.unwrap_or(default.batch_folios);
        Policy {
            destination: match self.target {
                Some(node) => Destination::Node(NodeId(node)),
                None => Destination::Deferred,
            },
            minimum_heat: self.minimum_count,
            half_life_ns: nanoseconds(self.half_life),
            ping_pong_ns: nanoseconds(self.ping_pong_window),
            allow_coarse_units: self.allow_coarse_units,
            large_folios: self.large_folios,
            demote_coldest: self.demote_coldest,
            pages_per_second: self.max_pages_per_second,
            batch_folios: most.min(actuator.limits().frames_max),
            ..default
        }
    }
}

impl EndOptions {
    fn end(&self) -> End {
        End {
            after: self.seconds.map(Duration::from_secs),
            after_epochs: self.epochs,
            when_stable: self.until_stable,
            when_idle: false,
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn large_folios(text: &str) -> Result<LargeFolios, String> {
    let percent = text.strip_prefix("dense:").map(str::parse::<u8>);
    match (text, percent) {
        ("whole", _) => Ok(LargeFolios::Whole),
        (_, Some(Ok(percent @ 1..=100))) => Ok(LargeFolios::Dense(percent)),
        _ => Err("write whole, or dense: and a number from 1 to 100, such as dense:50".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_refused() {
        assert_eq!(large_folios("whole"), Ok(LargeFolios::Whole));
        assert_eq!(large_folios("dense:50"), Ok(LargeFolios::Dense(50)));
        for text in ["", "dense", "dense:0", "dense:101", "dense:x"] {
            assert!(large_folios(text).is_err(), "{text}");
        }
    }
}
