// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu workload` and what may run beside it.

mod algorithms;
mod crowd;
mod once;
mod share;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chmu_machine::clock;
use chmu_machine::node::NodeId;
use chmu_machine::topology::Topology;
use chmu_proof::workload::report::WorkloadReport;
use chmu_proof::workload::state::{Phase, State, StateError, Verified};
use chmu_proof::workload::touches::PageTouches;
use chmu_proof::workload::traffic::{Distribution, Share, Shares, Traffic};
use chmu_proof::workload::{Backing, Layout, Workload, check_counts, hot_set};

use super::exit_code::NEGATIVE_RESULT;
use super::output::Output;
use super::signals::Signals;
use super::values::positive;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    pages: PageOptions,
    #[command(flatten)]
    traffic: TrafficOptions,
}

#[derive(Debug, clap::Subcommand)]
enum Other {
    /// Touches chosen pages exactly as often as told.
    Script {
        #[command(flatten)]
        pages: PageOptions,
        /// So many loads, then stores, of a page, each of the page's next cache line; in the order
        /// given.
        #[arg(long = "touch", value_name = "PAGE:READS[:WRITES]", required = true)]
        touches: Vec<PageTouches>,
    },
    /// Touches one page after the other, each once, and says where they are in the end.
    Once(once::Options),
    /// Maps the file of a running workload as well, until SIGTERM.
    Share(share::Options),
    /// Searches a Kronecker graph as Graph 500 does, ranks its vertices by their neighbours, and checks both.
    Graph(algorithms::GraphOptions),
    /// Updates a table at random, as GUPS does, most often in a window that moves; undoes it all and looks.
    Gups(algorithms::UpdateOptions),
    /// Follows pointers from line to line, through all of them, so that each has to wait for the one before.
    Chase(algorithms::ChaseOptions),
}

#[derive(Debug, Clone, clap::Args)]
struct PageOptions {
    /// The node to put the pages on [default: the slowest node without processors].
    #[arg(long, value_name = "NODE")]
    node: Option<u32>,
    /// How many pages of 4 KiB.
    #[arg(long, value_parser = positive::<u64>, default_value = "4096")]
    pages: u64,
    /// Chooses the hot pages and the pages' content.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What kind of pages: anonymous, huge, or those of a file that is made or emptied, mapped with
    /// mapped:FILE, only read and written with "file:" and its path.
    #[arg(long, value_name = "KIND", default_value = "anonymous")]
    backing: Backing,
    /// Lets the kernel's NUMA balancing move the pages too.
    #[arg(long)]
    balancing: bool,
    /// Sets up a userfaultfd, so that --source userfaultfd:PID can tell which pages are accessed; takes
    /// pages that are mapped.
    #[arg(long)]
    userfaultfd: bool,
    /// Where to write what promotion and proof need to know, as soon as the pages are ready.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Waits for SIGUSR1 before the first touch.
    #[arg(long)]
    wait: bool,
    /// Keeps the pages after the last touch until SIGTERM, and checks them only then.
    #[arg(long)]
    hold: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct TrafficOptions {
    /// How many of the pages are hot. The caches in front of the device must not hold all their
    /// lines: take more than 256 with the plugin's filter of 4096 lines.
    #[arg(long, value_parser = positive::<u64>, default_value = "512")]
    hot_pages: u64,
    /// How many of the hot pages are held by a pipe, so that the kernel cannot move them.
    #[arg(long, value_name = "PAGES", default_value_t = 0)]
    pinned_pages: u64,
    /// How visits spread over the hot pages: uniform, zipf or zipf:EXPONENT.
    #[arg(long, default_value = "uniform")]
    distribution: Distribution,
    /// Stores, as a percentage of all accesses.
    #[arg(long, value_name = "PERCENT", default_value = "10")]
    write_percent: Share,
    /// Accesses to cold pages, as a percentage of all.
    #[arg(long, value_name = "PERCENT", default_value = "1")]
    cold_percent: Share,
    /// Makes other pages hot after each so many rounds [default: at each SIGUSR1 after the start].
    #[arg(long, value_name = "ROUNDS", value_parser = positive::<u64>)]
    move_rounds: Option<u64>,
    /// Sleeps so long after each round, for example 300ms.
    #[arg(long, value_name = "TIME", value_parser = super::duration::parse, default_value = "0s")]
    pause: Duration,
    /// So many processes, each with such pages of its own. Each writes a state file whose name ends in a
    /// hyphen and its number, from 1, and has a seed of its own; the file without a number lists the
    /// processes. A signal to this one reaches all.
    #[arg(long, value_name = "NUMBER", value_parser = positive::<u32>, default_value = "1")]
    processes: u32,
    /// Ends after so many rounds; in one round there are as many visits as hot pages
    /// [default: at SIGTERM].
    #[arg(long)]
    rounds: Option<u64>,
    /// Ends after so many seconds [default: at SIGTERM].
    #[arg(long)]
    seconds: Option<u64>,
}

/// How much was touched.
#[derive(Debug, Default)]
struct Work {
    rounds: u64,
    cold_accesses: u64,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match &options.other {
        None if options.traffic.processes > 1 => crowd::run(&options.pages, &options.traffic),
        None => print(
            &options.pages,
            &run_traffic(&options.pages, &options.traffic)?,
        ),
        Some(Other::Script { pages, touches }) => print(pages, &run_script(pages, touches)?),
        Some(Other::Once(options)) => once::run(options),
        Some(Other::Share(options)) => share::run(options),
        Some(Other::Graph(options)) => algorithms::graph(options),
        Some(Other::Gups(options)) => algorithms::gups(options),
        Some(Other::Chase(options)) => algorithms::chase(options),
    }
}

fn print(options: &PageOptions, report: &WorkloadReport) -> anyhow::Result<ExitCode> {
    options.output.print(report)?;
    Ok(match report.is_right() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(NEGATIVE_RESULT),
    })
}

fn run_traffic(pages: &PageOptions, options: &TrafficOptions) -> anyhow::Result<WorkloadReport> {
    check_counts(pages.pages, options.hot_pages)?;
    anyhow::ensure!(
        options.pinned_pages <= options.hot_pages,
        "{} pages to pin are more than the {} hot ones, of which they are",
        options.pinned_pages,
        options.hot_pages
    );
    let hot_set = |seed| hot_set::choose(pages.pages, options.hot_pages, seed);
    let shares = Shares {
        cold: options.cold_percent,
        write: options.write_percent,
    };
    let traffic = |hot: &[u64], seed| {
        let cold = hot_set::others(pages.pages, hot);
        Traffic::new(hot.to_vec(), cold, options.distribution, shares, seed)
    };
    let first = hot_set(pages.seed);
    let mut traffic_now = traffic(&first, pages.seed)?;
    let rounds = options.rounds.unwrap_or(u64::MAX);
    let limit = options.seconds.map(Duration::from_secs);
    let pinned = usize::try_from(options.pinned_pages).unwrap_or(usize::MAX);
    run_session(pages, &first, |session| {
        let _pin = session.workload.pin(&first[..pinned.min(first.len())])?;
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let mut work = Work::default();
        let mut seed = pages.seed;
        let is_time = |rounds: u64| {
            let every = options.move_rounds.filter(|_| rounds > 0);
            every.is_some_and(|every| rounds.is_multiple_of(every))
        };
        while work.rounds < rounds {
            let mut moves = is_time(work.rounds);
            for _ in 0..traffic_now.round_visits() {
                if session.signals.stop().is_raised() || over() {
                    return Ok(work);
                }
                moves |= session.signals.take_start();
                if std::mem::take(&mut moves) {
                    seed = seed.wrapping_add(1);
                    let hot = hot_set(seed);
                    traffic_now = traffic(&hot, seed)?;
                    session.state.move_hot_set(&hot, clock::monotonic_ns());
                    session.publish()?;
                }
                work.cold_accesses += traffic_now.visit(|touch| session.workload.touch(touch));
                session.attend()?;
            }
            work.rounds += 1;
            if !options.pause.is_zero() {
                session.signals.sleep(Some(options.pause))?;
            }
        }
        Ok(work)
    })
}

fn run_script(pages: &PageOptions, touches: &[PageTouches]) -> anyhow::Result<WorkloadReport> {
    let mut hot: Vec<_> = touches.iter().map(|touches| touches.page).collect();
    hot.sort_unstable();
    hot.dedup();
    if let Some(page) = hot.last().filter(|&&page| page >= pages.pages) {
        anyhow::bail!(
            "There is no page {page} to touch; the pages are 0 to {}",
            pages.pages.saturating_sub(1)
        );
    }
    run_session(pages, &hot, |session| {
        for touch in touches.iter().flat_map(|touches| touches.accesses()) {
            session.workload.touch_exactly(touch);
        }
        Ok(Work {
            rounds: 1,
            ..Work::default()
        })
    })
}

/// A workload at work, and those who want to know of it.
struct Session<'a> {
    workload: Workload,
    state: State,
    path: Option<&'a Path>,
    signals: Signals,
    /// Somebody was told that words are wrong.
    complained: bool,
}

impl Session<'_> {
    /// Answers who asked for a look at all pages, and tells of the first wrong word at once.
    fn attend(&mut self) -> Result<(), StateError> {
        if self.signals.take_check() {
            self.state.verified = Some(Verified {
                time_ns: clock::monotonic_ns(),
                verification: self.workload.verify(),
            });
            return self.publish();
        }
        match self.workload.checks().wrong_words > 0 && !self.complained {
            true => self.publish(),
            false => Ok(()),
        }
    }

    /// Writes down what is known now.
    fn publish(&mut self) -> Result<(), StateError> {
        self.state.checks = self.workload.checks().clone();
        self.complained |= self.state.checks.wrong_words > 0;
        match self.path {
            Some(path) => self.state.publish(path),
            None => Ok(()),
        }
    }
}

/// Sets the pages up, lets `work` touch them, checks and reports.
fn run_session(
    options: &PageOptions,
    hot: &[u64],
    work: impl FnOnce(&mut Session) -> anyhow::Result<Work>,
) -> anyhow::Result<WorkloadReport> {
    let signals = Signals::catch()?;
    let topology = Topology::read(Path::new("/sys"))?;
    let node = options.node.map(NodeId);
    let layout = Layout::choose(&topology, node, options.pages, options.seed)?;
    let workload = Workload::prepare(layout, &options.backing)?;
    if options.balancing {
        workload.allow_balancing()?;
    }
    let _userfaultfd = match options.userfaultfd {
        true => Some(workload.share_userfaultfd()?),
        false => None,
    };
    let mut session = Session {
        state: workload.state(hot),
        workload,
        path: options.state.as_deref(),
        signals,
        complained: false,
    };
    if options.wait {
        session.publish()?;
        session.signals.wait_for_start()?;
    }
    session.state.start();
    session.publish()?;
    let start = Instant::now();
    let work = work(&mut session)?;
    let seconds = start.elapsed().as_secs_f64();
    session.state.phase = Phase::Finished;
    session.publish()?;
    if options.hold {
        while !session.signals.stop().is_raised() {
            session.signals.wait_for_stop_or_check()?;
            session.attend()?;
        }
    }
    Ok(WorkloadReport {
        process_id: std::process::id(),
        node: layout.node,
        rounds: work.rounds,
        accesses: session.workload.accesses(),
        cold_accesses: work.cold_accesses,
        seconds,
        checks: session.workload.checks().clone(),
        verification: session.workload.verify(),
    })
}
