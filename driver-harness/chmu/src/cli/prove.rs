// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu prove`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use chmu_machine::node::NodeId;
use chmu_machine::topology::Topology;
use chmu_proof::evidence::Demands;
use chmu_proof::ledger::Ledger;
use chmu_proof::workload::state::State;
use chmu_proof::{Outcome, Right, gather, judge};

mod foreign;

use super::exit_code::{NEGATIVE_RESULT, NOTHING_PROVED};
use super::output::Output;
use super::values;

/// A workload of many pages needs a while to read them all.
const CHECK_TIME: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The state file of a running workload; may be given several times.
    #[arg(long = "state", value_name = "FILE", required_unless_present = "pid")]
    states: Vec<PathBuf>,
    #[command(flatten)]
    foreign: foreign::Options,
    /// What chmu promote --ledger wrote [default: what takes a ledger stays unproved].
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// The promotion was killed, so that its ledger has no end.
    #[arg(long, requires = "ledger")]
    killed: bool,
    /// The node that promotion was told to promote to [default: what the machine's tables say].
    #[arg(long, value_name = "NODE")]
    target: Option<u32>,
    /// Takes any node of faster memory for right, as when the best ones are full.
    #[arg(long, conflicts_with = "target")]
    allow_fallback: bool,
    /// The least part of the promoted folios that must be hot.
    #[arg(long, value_name = "PART", value_parser = values::part, default_value = "1.0")]
    minimum_precision: f64,
    /// The least part of the hot pages that must be promoted.
    #[arg(long, value_name = "PART", value_parser = values::part, default_value = "0.95")]
    minimum_recall: f64,
    /// A page that was hot until this long before it moved was no stale one, for example 500ms.
    #[arg(long, value_name = "TIME", value_parser = super::duration::parse, default_value = "0s")]
    lateness: Duration,
    /// Fails when pages moved that are of none of the workloads.
    #[arg(long, requires = "ledger")]
    exclusive: bool,
    /// Leaves the workload in peace: its content stays unproved, unless it looked at all of its pages
    /// before.
    #[arg(long)]
    without_content: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let demands = Demands {
        minimum_recall: options.minimum_recall,
        minimum_precision: options.minimum_precision,
        lateness_ns: u64::try_from(options.lateness.as_nanos()).unwrap_or(u64::MAX),
        exclusive: options.exclusive,
        killed: options.killed,
        maximum_unclear: options.foreign.maximum_unclear,
    };
    let read = |path: &PathBuf| State::read(path);
    // What is wrong with a file is told before any workload is disturbed.
    let mut states = options
        .states
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    refuse_doubles(&states)?;
    let ledger = options
        .ledger
        .as_deref()
        .map(|path| Ledger::read(path, options.killed));
    let ledger = ledger.transpose()?;
    if !options.without_content {
        for (state, path) in states.iter_mut().zip(&options.states) {
            *state = state.checked(path, CHECK_TIME)?;
        }
    }
    let (observed, truth) = match options.foreign.observed()? {
        Some((nodes, truth)) => (nodes, Some(truth)),
        None => (Vec::new(), None),
    };
    let told =
        (!states.is_empty()).then(|| "workloads that know which of their pages are hot".to_owned());
    let truth: Vec<_> = told.into_iter().chain(truth).collect();
    let right = match (options.target, options.allow_fallback) {
        (Some(node), _) => Right::Node(NodeId(node)),
        (None, true) => Right::Faster,
        (None, false) => Right::Best,
    };
    let topology = Topology::read(Path::new("/sys"))?;
    let evidence = gather(states, observed, ledger, &topology, right)?;
    let verdict = judge(&evidence, &demands, &truth.join("; "));
    options.output.print(&verdict)?;
    Ok(match verdict.verdict {
        Outcome::Pass => ExitCode::SUCCESS,
        Outcome::Fail => ExitCode::from(NEGATIVE_RESULT),
        Outcome::Unproved | Outcome::NotClaimed => ExitCode::from(NOTHING_PROVED),
    })
}

/// A workload that is given twice would count twice, and make up for one that was not promoted.
fn refuse_doubles(states: &[State]) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for state in states {
        let process_id = state.process_id;
        ensure!(
            seen.insert((process_id, state.address, &state.file)),
            "The workload of process {process_id} is given twice; give each --state once"
        );
    }
    Ok(())
}
