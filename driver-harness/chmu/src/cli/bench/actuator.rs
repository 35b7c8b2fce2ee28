// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Moving pages by DAMON against moving them by one call.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chmu_machine::memory::numa;
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;
use chmu_machine::topology::Topology;
use chmu_promotion::actuator::damon::BatchTimes;
use chmu_promotion::actuator::{Actuator, Damon, Places};
use chmu_promotion::{Batch, Fate, Route};

use super::processes::{Member, Step};
use super::{
    ActuatorOptions, Measurement, Processes, Report, kinds, median, milliseconds, processes,
    strangers,
};

/// DAMON is to move as many pages in a second as one call does, by this share.
const SPEED_SHARE: f64 = 0.8;
/// Telling DAMON a batch is to take no longer.
const SETUP_MS: f64 = 5.0;
/// Reads of page flags for each folio.
const READS_PER_FOLIO: f64 = 3.0;
/// With many processes a batch is to cost as much as with few, by this share.
const FLAT_SHARE: f64 = 0.8;

/// An actuator and what its batches cost.
pub(super) struct Mover {
    damon: Damon,
    stop: StopFlag,
}

/// The cost of one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) whole_ns: u64,
    times: BatchTimes,
    reads: u64,
}

impl Mover {
    pub(super) fn new() -> Result<Mover> {
        Ok(Mover {
            damon: Damon::set_up(Places::default())?,
            stop: StopFlag::new()?,
        })
    }

    /// Promotes a batch.
    pub(super) fn promote(&mut self, batch: &Batch) -> Result<(Vec<Fate>, Cost)> {
        let reads = self.damon.page_flag_reads();
        let start = Instant::now();
        let fates = self.damon.promote_batch(batch, &self.stop)?;
        let cost = Cost {
            whole_ns: nanoseconds(start),
            times: self.damon.times(),
            reads: self.damon.page_flag_reads() - reads,
        };
        Ok((fates, cost))
    }

    /// Promotes a batch of which nearly every page must arrive.
    pub(super) fn promote_nearly_all(&mut self, batch: &Batch) -> Result<Cost> {
        let (fates, cost) = self.promote(batch)?;
        let node = batch.route.target;
        let moved = fates.iter().filter(|&&fate| fate == Fate::Moved { node });
        let (moved, all) = (moved.count(), fates.len());
        ensure!(moved * 100 >= all * 98, "Only {moved} of {all} pages moved");
        Ok(cost)
    }

    /// The same for all scattered pages of a process, which is asked where they are.
    fn promote_member(&mut self, member: &Member, route: Route) -> Result<Cost> {
        let batch = member.batch(route)?;
        let (fates, cost) = self.promote(&batch)?;
        let node = route.target;
        let moved = fates.iter().filter(|&&fate| fate == Fate::Moved { node });
        let (moved, there, all) = (moved.count(), member.count_on(node)?, fates.len());
        ensure!(
            moved == there,
            "DAMON says that {moved} of {all} pages moved, and {there} are there"
        );
        ensure!(there * 100 >= all * 98, "Only {there} of {all} pages moved");
        Ok(cost)
    }
}

/// What the rounds cost, each part of a round by other means.
#[derive(Default)]
struct Rounds {
    batches: Vec<Cost>,
    by_one_worker_ns: Vec<u64>,
    by_call_ns: Vec<u64>,
    single_ns: Vec<u64>,
}

/// Pages of processes that were started before, since none may inherit the files of DAMON.
fn measure(
    mover: &mut Mover,
    alone: &mut Mover,
    members: &[[Member; 4]],
    route: Route,
) -> Result<Rounds> {
    let mut rounds = Rounds::default();
    for [shared, by_one, by_call, single] in members {
        rounds.batches.push(mover.promote_member(shared, route)?);
        let start = Instant::now();
        by_call.move_by_call(route.target)?;
        rounds.by_call_ns.push(nanoseconds(start));
        let cost = alone.promote_member(by_one, route)?;
        rounds.by_one_worker_ns.push(cost.whole_ns);
        let cost = mover.promote_member(single, route)?;
        rounds.single_ns.push(cost.whole_ns);
    }
    Ok(rounds)
}

fn measurements(rounds: &Rounds, options: &ActuatorOptions) -> Vec<Measurement> {
    let of = |part: fn(&Cost) -> u64| -> Vec<u64> { rounds.batches.iter().map(part).collect() };
    let folios = (u64::from(options.rounds) * options.pages) as f64;
    let reads: u64 = of(|cost| cost.reads).iter().sum();
    let median_ms = |values: &[u64]| milliseconds(median(values));
    vec![
        Measurement::against(
            "batch by DAMON, by move_pages",
            &of(|cost| cost.whole_ns),
            &rounds.by_call_ns,
            SPEED_SHARE,
        ),
        Measurement::against(
            "the same by one worker",
            &rounds.by_one_worker_ns,
            &rounds.by_call_ns,
            SPEED_SHARE,
        ),
        Measurement::at_most(
            "set-up of a batch",
            "ms",
            median_ms(&of(|cost| cost.times.program_ns)),
            SETUP_MS,
        ),
        Measurement::at_most(
            "batch of one page",
            "ms",
            median_ms(&rounds.single_ns),
            SETUP_MS,
        ),
        Measurement::at_most(
            "reads of page flags for a folio",
            "reads",
            reads as f64 / folios,
            READS_PER_FOLIO,
        ),
    ]
}

pub(super) fn run(options: &ActuatorOptions) -> Result<Report> {
    let route = route()?;
    let steps = processes::costs(route, options)?;
    let member = |pages| Member::with_scattered(pages, route.source);
    let members: Vec<_> = (0..options.rounds)
        .map(|_| {
            let [shared, by_one, by_call] = [(); 3].map(|()| member(options.pages));
            Ok([shared?, by_one?, by_call?, member(1)?])
        })
        .collect::<Result<_>>()?;
    // What was filled a moment ago waits in its processor's list.
    numa::drain_reclaim_batches()?;
    let (mut mover, mut alone) = (Mover::new()?, Mover::new()?);
    alone.damon.use_one_worker();
    let rounds = measure(&mut mover, &mut alone, &members, route)?;
    drop((alone, members));
    for cost in &rounds.batches {
        log::info!("{cost:?}");
    }
    let mut measurements = measurements(&rounds, options);
    let strangers = strangers::check(&mut mover, options.pages, route)?;
    let kinds = kinds::check(&mut mover, route)?;
    if let [few, .., many] = steps.as_slice() {
        let cost = |step: &Step| step.batches_ns.clone();
        let measurement = Measurement::against(
            "batch with most processes, fewest",
            &cost(many),
            &cost(few),
            FLAT_SHARE,
        );
        measurements.push(measurement);
    }
    Ok(Report {
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        pages: options.pages,
        rounds: options.rounds,
        measurements,
        processes: steps.iter().map(Processes::of).collect(),
        strangers,
        kinds,
    })
}

/// From the slowest node to one with processors.
fn route() -> Result<Route> {
    let topology = Topology::read(Path::new("/sys"))?;
    let source = topology
        .slowest_node_without_cpu()
        .context("No node has memory but no processors: there is nothing to promote from")?;
    let fast = topology.nodes.iter();
    let target: Option<NodeId> = fast
        .filter(|(_, node)| node.has_cpu && node.has_memory)
        .map(|(&id, _)| id)
        .next();
    Ok(Route {
        source,
        target: target.context("No node with processors has memory to promote to")?,
    })
}

fn nanoseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
