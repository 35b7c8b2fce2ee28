// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu observe`.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chmu_machine::topology::Topology;
use chmu_machine::words;
use chmu_proof::observation::{Observation, Oracle, Session, ports};
use serde::Serialize;

use super::output::Output;
use super::signals::Signals;
use super::values;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The process to observe.
    #[arg(long, value_name = "PROCESS")]
    pid: u32,
    /// Only pages at these addresses, in hexadecimal as in /proc/PID/maps.
    #[arg(long, value_name = "START-END", value_parser = values::addresses)]
    range: Option<Range<u64>>,
    /// Where to write what was observed: at the first look, when chmu prove asks for it, and at the end.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// An oracle: a port or a socket; may be given several times, once for each device [default: the ports
    /// named chmu.oracle.N].
    #[arg(long = "oracle", value_name = "PATH")]
    oracles: Vec<PathBuf>,
    /// Time from one look to the next.
    #[arg(long, value_name = "TIME", value_parser = super::duration::parse, default_value = "200ms")]
    every: Duration,
    /// Ends after so many seconds [default: when told to, by SIGINT or SIGTERM, or with the process].
    #[arg(long, value_parser = values::positive::<u64>)]
    seconds: Option<u64>,
    #[command(flatten)]
    output: Output,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Summary {
    process_id: u32,
    /// The process ended, and with it the observation.
    process_ended: bool,
    seconds: f64,
    looks: u64,
    pages: usize,
    pages_left: usize,
    accesses: u64,
    accesses_missing: u64,
    gaps: u64,
    pages_left_out: u64,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    let topology = Topology::read(Path::new("/sys"))?;
    let paths = match options.oracles.is_empty() {
        true => ports(Path::new("/sys")),
        false => options.oracles.clone(),
    };
    let addresses = options.range.clone().unwrap_or(0..u64::MAX);
    let oracle = Oracle::mark(&paths)?;
    let mut session = Session::begin(options.pid, addresses, topology, oracle)?;
    session.observation(false).publish(&options.file)?;
    let seconds = options.seconds.map(Duration::from_secs);
    let deadline = seconds.and_then(|time| Instant::now().checked_add(time));
    let mut process_ended = false;
    while !process_ended && !is_over(&signals, deadline, options.every) {
        process_ended = !session.look()?;
        if signals.take_check() {
            session.observation(false).publish(&options.file)?;
        }
    }
    if !process_ended {
        process_ended = !session.look()?;
    }
    let observation = session.observation(true);
    observation.publish(&options.file)?;
    session.end()?;
    options
        .output
        .print(&Summary::of(&observation, process_ended))?;
    Ok(ExitCode::SUCCESS)
}

/// Sleeps until the next look, unless there is none.
fn is_over(signals: &Signals, deadline: Option<Instant>, every: Duration) -> bool {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let is_last = left.is_some_and(|left| left <= every);
    signals.stop().sleep(left.unwrap_or(every).min(every)) || is_last
}

impl Summary {
    fn of(observation: &Observation, process_ended: bool) -> Summary {
        let pages = &observation.pages;
        let sums = pages.iter().map(|page| page.sure);
        Summary {
            process_id: observation.process_id,
            process_ended,
            seconds: Duration::from_nanos(observation.time_ns()).as_secs_f64(),
            looks: observation.looks,
            pages: pages.len(),
            pages_left: pages.iter().filter(|page| page.left.is_some()).count(),
            accesses: sums.fold(0, u64::saturating_add),
            accesses_missing: observation.accesses_missing,
            gaps: observation.gaps,
            pages_left_out: observation.pages_left_out,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} to {} of process {}, seen in {:.1} s by {}; {} of the pages left their frame",
            words::count(self.accesses, "access", "accesses"),
            words::count(self.pages as u64, "page", "pages"),
            self.process_id,
            self.seconds,
            words::count(self.looks, "look", "looks"),
            self.pages_left
        )?;
        if self.process_ended {
            writeln!(
                f,
                "The process has ended, so that nothing can be proved of it"
            )?;
        }
        if self.pages == 0 {
            writeln!(
                f,
                "None of its pages lies in memory of a device with an oracle"
            )?;
        }
        if self.accesses_missing > 0 || self.gaps > 0 {
            writeln!(
                f,
                "The counts are not exact: {} may be missing, and reporting ended {}",
                words::count(self.accesses_missing, "access", "accesses"),
                words::times(self.gaps)
            )?;
        }
        if self.pages_left_out > 0 {
            let left_out = words::count(self.pages_left_out, "page was", "pages were");
            writeln!(f, "{left_out} left out, as there are too many")?;
        }
        Ok(())
    }
}
