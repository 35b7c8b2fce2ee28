// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu promote`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::memory::owners::Owners;
use chmu_machine::node::NodeId;
use chmu_machine::topology::Topology;
use chmu_promotion::actuator::{Actuator, Damon, DryRun, MovePages, Places};
use chmu_promotion::source::HotnessSource;
use chmu_promotion::{
    Destination, Policy, Promoter, Recorder, ThisMachine, frame_list, promote_reported,
    promote_waiting,
};
use chmu_proof::workload::state::State;

use super::output::Output;
use super::signals::{NOTICE, Signals};
use super::units::UnitOptions;
use super::values::positive;

/// Epoch when nobody asks for one.
const DEFAULT_EPOCH: Duration = Duration::from_millis(100);
/// The switch of the kernel's own promotion.
const BALANCING: &str = "/proc/sys/kernel/numa_balancing";

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    end: EndOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where hot pages are known from")]
struct SourceOptions {
    /// Promotes the page frames listed in this file, once, and asks no device.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["device", "unit", "transport", "unit_size",
        "threshold", "mode", "requests", "epochs", "seconds", "until_stable"])]
    frames: Option<PathBuf>,
    #[command(flatten)]
    units: UnitOptions,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is done with them")]
struct PolicyOptions {
    /// What moves pages.
    #[arg(long, value_enum, default_value = "damon")]
    actuator: ActuatorName,
    /// Moves nothing; the same as --actuator dry-run.
    #[arg(long)]
    dry_run: bool,
    /// The node that pages go to [default: computed for each page from where it is].
    #[arg(long, value_name = "NODE")]
    target: Option<u32>,
    /// At most so many pages in a second.
    #[arg(long, value_name = "PAGES", value_parser = positive::<u64>)]
    max_pages_per_second: Option<u64>,
    /// Units reported with a lower count are left where they are.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    minimum_count: u64,
    /// At most so many frames in one batch.
    #[arg(long, value_name = "FRAMES", value_parser = positive::<usize>)]
    batch: Option<usize>,
    /// With move-pages: the state file of the workload whose pages are promoted [default: every
    /// process is searched for the owner of each page].
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ActuatorName {
    /// DAMON, by physical address: also pages that no process maps.
    Damon,
    /// The system call of that name: pages of processes.
    MovePages,
    /// Nothing.
    DryRun,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "When it ends (at SIGTERM in any case)")]
struct EndOptions {
    /// After so many epochs.
    #[arg(long, value_name = "COUNT")]
    epochs: Option<u64>,
    /// After so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// When some pages have been promoted but none in the last three epochs.
    #[arg(long)]
    until_stable: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    check_target(options.policy.target)?;
    // What a user can put right comes before what the kernel lacks: files and values, the device,
    // then the actuator.
    let recorder = match &options.source.frames {
        Some(path) => run_list(path, &options.policy, &signals)?,
        None => run_device(options, &signals)?,
    };
    options
        .output
        .print(&recorder.finish(clock::monotonic_ns()))?;
    Ok(ExitCode::SUCCESS)
}

/// The node that pages are to go to must have memory.
fn check_target(target: Option<u32>) -> anyhow::Result<()> {
    let Some(target) = target.map(NodeId) else {
        return Ok(());
    };
    let topology = Topology::read(Path::new("/sys"))?;
    Ok(topology.check_named(target)?)
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

fn promoter(options: &PolicyOptions, epoch: Duration) -> anyhow::Result<Promoter> {
    let policy = Policy {
        destination: match options.target {
            Some(node) => Destination::Node(NodeId(node)),
            None => Destination::Deferred,
        },
        minimum_count: options.minimum_count,
        pages_per_second: options.max_pages_per_second,
        batch_frames: options.batch,
        // The epoch in which a page moves still counts what it saw in the old frame.
        settle_ns: nanoseconds(epoch.saturating_mul(2)),
    };
    let state = match options.actuator {
        ActuatorName::MovePages => options.state.as_deref().map(State::read).transpose()?,
        _ => None,
    };
    let machine = ThisMachine::open()?;
    let actuator = actuator(options, state)?;
    warn_of_balancing();
    Ok(Promoter::new(Box::new(machine), actuator, policy))
}

fn actuator(options: &PolicyOptions, state: Option<State>) -> anyhow::Result<Box<dyn Actuator>> {
    Ok(match options.actuator {
        ActuatorName::DryRun => Box::new(DryRun),
        _ if options.dry_run => Box::new(DryRun),
        ActuatorName::Damon => Box::new(Damon::set_up(Places::default())?),
        ActuatorName::MovePages => Box::new(MovePages::new(owners(state), Places::default())?),
    })
}

fn owners(state: Option<State>) -> Owners {
    match state {
        None => Owners::every_process(),
        Some(state) => {
            let end = state.end().unwrap_or(state.address);
            Owners::Area {
                process_id: state.process_id,
                addresses: state.address..end,
            }
        }
    }
}

/// Promotes the frames of a list, as fast as the policy allows.
fn run_list(path: &Path, options: &PolicyOptions, signals: &Signals) -> anyhow::Result<Recorder> {
    let frames = frame_list::read(path)?;
    let mut promoter = promoter(options, DEFAULT_EPOCH)?;
    let start_ns = clock::monotonic_ns();
    let name = path.display().to_string();
    let epoch_ns = nanoseconds(DEFAULT_EPOCH);
    let mut recorder = Recorder::new(&name, promoter.actuator(), epoch_ns, start_ns);
    for frame in frames {
        promoter.offer_frame(frame, u64::MAX, start_ns);
    }
    promote_waiting(&mut promoter, &mut recorder, signals.stop())?;
    Ok(recorder)
}

/// Promotes what a device reports until the end is reached.
fn run_device(options: &Options, signals: &Signals) -> anyhow::Result<Recorder> {
    let units = options.source.units.find()?;
    // The unit's own epochs count, not those that it was asked for.
    let epoch = units.epoch();
    let mut promoter = promoter(&options.policy, epoch)?;
    let mut source = units.start()?;
    let start_ns = clock::monotonic_ns();
    let epoch_ns = nanoseconds(epoch);
    let mut recorder = Recorder::new(
        &source.facts().name,
        promoter.actuator(),
        epoch_ns,
        start_ns,
    )
    .with_wished_epoch(options.source.units.wished_epoch_ns());
    let notice = epoch.min(NOTICE);
    promote_reported(
        &mut source,
        &mut promoter,
        &mut recorder,
        notice,
        signals.stop(),
        |recorder| is_over(&options.end, recorder, start_ns),
    )?;
    Ok(recorder)
}

fn is_over(options: &EndOptions, recorder: &Recorder, start_ns: u64) -> bool {
    let now_ns = clock::monotonic_ns();
    let passed = Duration::from_nanos(now_ns.saturating_sub(start_ns));
    let epochs = options
        .epochs
        .is_some_and(|epochs| recorder.epoch(now_ns) >= epochs);
    let seconds = options
        .seconds
        .is_some_and(|seconds| passed.as_secs() >= seconds);
    epochs || seconds || (options.until_stable && recorder.is_stable(now_ns))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
