// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu workload` and `chmu workload script`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chmu_machine::node::NodeId;

use chmu_machine::topology::Topology;
use chmu_machine::words;
use chmu_proof::workload::state::{Phase, State};
use chmu_proof::workload::touches::PageTouches;
use chmu_proof::workload::traffic::{Distribution, Share, Shares, Traffic};
use chmu_proof::workload::{Accesses, Layout, Verification, Workload, check_counts, hot_set};
use serde::Serialize;

use super::exit_code::NEGATIVE_RESULT;
use super::output::Output;
use super::signals::Signals;
use super::values::positive;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Options {
    #[command(subcommand)]
    script: Option<Script>,
    #[command(flatten)]
    pages: PageOptions,
    #[command(flatten)]
    traffic: TrafficOptions,
}

#[derive(Debug, clap::Subcommand)]
enum Script {
    /// Touches chosen pages exactly as often as told.
    Script {
        #[command(flatten)]
        pages: PageOptions,
        /// So many loads, then stores, of a page, each of the page's next cache line; in the order
        /// given.
        #[arg(long = "touch", value_name = "PAGE:READS[:WRITES]", required = true)]
        touches: Vec<PageTouches>,
    },
}

#[derive(Debug, clap::Args)]
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
    /// Lets the kernel's NUMA balancing move the pages too.
    #[arg(long)]
    balancing: bool,
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
    /// How visits spread over the hot pages: uniform, zipf or zipf:EXPONENT.
    #[arg(long, default_value = "uniform")]
    distribution: Distribution,
    /// Stores, as a percentage of all accesses.
    #[arg(long, value_name = "PERCENT", default_value = "10")]
    write_percent: Share,
    /// Accesses to cold pages, as a percentage of all.
    #[arg(long, value_name = "PERCENT", default_value = "1")]
    cold_percent: Share,
    /// Ends after so many rounds; in one round there are as many visits as hot pages
    /// [default: at SIGTERM].
    #[arg(long)]
    rounds: Option<u64>,
    /// Ends after so many seconds [default: at SIGTERM].
    #[arg(long)]
    seconds: Option<u64>,
}

/// What came of it; on stdout.
#[derive(Debug, Serialize)]
struct Report {
    process_id: u32,
    node: NodeId,
    rounds: u64,
    #[serde(flatten)]
    accesses: Accesses,
    cold_accesses: u64,
    seconds: f64,
    #[serde(flatten)]
    verification: Verification,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accesses { reads, writes } = self.accesses;
        let loads = words::count(reads, "load", "loads");
        let stores = words::count(writes, "store", "stores");
        let rounds = words::count(self.rounds, "whole round", "rounds");
        let time = Duration::try_from_secs_f64(self.seconds).unwrap_or_default();
        let time = words::span(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        write!(f, "{loads} and {stores} in {rounds} and {time}")?;
        if self.cold_accesses > 0 {
            write!(f, ", {} of them to cold pages", self.cold_accesses)?;
        }
        let Verification {
            pages_checked,
            corrupt_pages,
            wrong_words,
        } = &self.verification;
        let checked = words::count(*pages_checked, "page", "pages");
        let corrupt = match corrupt_pages {
            0 => "none is".to_owned(),
            1 => "1 is".to_owned(),
            several => format!("{several} are"),
        };
        writeln!(f, "\n{checked} checked, {corrupt} corrupt")?;
        for wrong in wrong_words {
            writeln!(
                f,
                "page {} word {}: {:#018x} instead of {:#018x}",
                wrong.page, wrong.place, wrong.found, wrong.expected
            )?;
        }
        Ok(())
    }
}

/// How much was touched.
#[derive(Debug, Default)]
struct Work {
    rounds: u64,
    cold_accesses: u64,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match &options.script {
        None => run_traffic(&options.pages, &options.traffic),
        Some(Script::Script { pages, touches }) => run_script(pages, touches),
    }
}

fn run_traffic(pages: &PageOptions, options: &TrafficOptions) -> anyhow::Result<ExitCode> {
    check_counts(pages.pages, options.hot_pages)?;
    let hot = hot_set::choose(pages.pages, options.hot_pages, pages.seed);
    let cold = hot_set::others(pages.pages, &hot);
    let shares = Shares {
        cold: options.cold_percent,
        write: options.write_percent,
    };
    let traffic = Traffic::new(hot.clone(), cold, options.distribution, shares, pages.seed);
    let mut traffic = traffic?;
    let rounds = options.rounds.unwrap_or(u64::MAX);
    let limit = options.seconds.map(Duration::from_secs);
    run_session(pages, &hot, |workload, signals| {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let mut work = Work::default();
        while work.rounds < rounds {
            for _ in 0..traffic.round_visits() {
                if signals.stop().is_raised() || over() {
                    return work;
                }
                work.cold_accesses += traffic.visit(|touch| workload.touch(touch));
            }
            work.rounds += 1;
        }
        work
    })
}

fn run_script(pages: &PageOptions, touches: &[PageTouches]) -> anyhow::Result<ExitCode> {
    let mut hot: Vec<_> = touches.iter().map(|touches| touches.page).collect();
    hot.sort_unstable();
    hot.dedup();
    if let Some(page) = hot.last().filter(|&&page| page >= pages.pages) {
        anyhow::bail!(
            "There is no page {page} to touch; the pages are 0 to {}",
            pages.pages.saturating_sub(1)
        );
    }
    run_session(pages, &hot, |workload, _| {
        for touch in touches.iter().flat_map(|touches| touches.accesses()) {
            workload.touch(touch);
        }
        Work {
            rounds: 1,
            ..Work::default()
        }
    })
}

/// Sets the pages up, lets `work` touch them, checks and reports.
fn run_session(
    options: &PageOptions,
    hot: &[u64],
    work: impl FnOnce(&mut Workload, &Signals) -> Work,
) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    let topology = Topology::read(Path::new("/sys"))?;
    let node = options.node.map(NodeId);
    let layout = Layout::choose(&topology, node, options.pages, options.seed)?;
    let mut workload = Workload::prepare(layout)?;
    if options.balancing {
        workload.allow_balancing()?;
    }
    let mut state = workload.state(hot);
    let publish = |state: &State| match &options.state {
        Some(path) => state.publish(path),
        None => Ok(()),
    };
    if options.wait {
        publish(&state)?;
        signals.wait_for_start()?;
    }
    state.start();
    publish(&state)?;
    let start = Instant::now();
    let work = work(&mut workload, &signals);
    let seconds = start.elapsed().as_secs_f64();
    state.phase = Phase::Finished;
    publish(&state)?;
    if options.hold {
        signals.wait_for_stop()?;
    }
    let report = Report {
        process_id: std::process::id(),
        node: layout.node,
        rounds: work.rounds,
        accesses: workload.accesses(),
        cold_accesses: work.cold_accesses,
        seconds,
        verification: workload.verify(),
    };
    options.output.print(&report)?;
    match report.verification.corrupt_pages {
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::from(NEGATIVE_RESULT)),
    }
}
