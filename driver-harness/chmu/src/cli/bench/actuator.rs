// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Moving pages by DAMON against moving them by one call.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;
use chmu_machine::topology::Topology;
use chmu_promotion::actuator::damon::BatchTimes;
use chmu_promotion::actuator::{Actuator, Damon, Places};
use chmu_promotion::{Batch, Fate, Route};

use super::pages::Pages;
use super::{ActuatorOptions, Measurement, Report, kinds, milliseconds, processes, strangers};

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
    number: u64,
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
            number: 0,
        })
    }

    /// Promotes a batch.
    pub(super) fn promote(&mut self, batch: &Batch) -> Result<(Vec<Fate>, Cost)> {
        self.number += 1;
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

    /// Promotes pages of which every one must arrive.
    fn promote_all(&mut self, pages: &Pages) -> Result<Cost> {
        let batch = pages.batch(self.number)?;
        let (fates, cost) = self.promote(&batch)?;
        let target = pages.route.target;
        let moved = fates
            .iter()
            .filter(|&&fate| fate == Fate::Moved { node: target });
        let (moved, there) = (moved.count(), pages.count_on(target)?);
        ensure!(
            moved == there,
            "DAMON says that {moved} of {} pages moved, and {there} are there",
            pages.len()
        );
        ensure!(
            there * 100 >= pages.len() * 98,
            "Only {there} of {} pages moved",
            pages.len()
        );
        Ok(cost)
    }
}

pub(super) fn run(options: &ActuatorOptions) -> Result<Report> {
    let route = route()?;
    // Before anything else: children do not inherit what is set up later.
    let crowd = processes::Crowd::start(options.processes, options.process_pages, route.source)?;
    let mut mover = Mover::new()?;
    let (mut costs, mut calls, mut single) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        // New pages each time: those that went there and back lie side by side.
        let pages = Pages::fill(options.pages, route)?;
        costs.push(mover.promote_all(&pages)?);
        let pages = Pages::fill(options.pages, route)?;
        let start = Instant::now();
        pages.move_by_call(route.target)?;
        calls.push(nanoseconds(start));
        single.push(mover.promote_all(&Pages::fill(1, route)?)?.whole_ns);
    }
    let folios = (u64::from(options.rounds) * options.pages) as f64;
    let least = |values: &[u64]| values.iter().copied().min().unwrap_or(0);
    let whole: Vec<_> = costs.iter().map(|cost| cost.whole_ns).collect();
    let program: Vec<_> = costs.iter().map(|cost| cost.times.program_ns).collect();
    for cost in &costs {
        log::info!("{cost:?}");
    }
    let reads: u64 = costs.iter().map(|cost| cost.reads).sum();
    let mut measurements = vec![
        Measurement::against(
            "batch by DAMON, by move_pages",
            least(&whole),
            least(&calls),
            SPEED_SHARE,
        ),
        Measurement::at_most(
            "set-up of a batch",
            "ms",
            milliseconds(least(&program)),
            SETUP_MS,
        ),
        Measurement::at_most(
            "batch of one page",
            "ms",
            milliseconds(least(&single)),
            SETUP_MS,
        ),
        Measurement::at_most(
            "reads of page flags for a folio",
            "reads",
            reads as f64 / folios,
            READS_PER_FOLIO,
        ),
    ];
    let strangers = strangers::check(&mut mover, options.pages, route)?;
    let kinds = kinds::check(&mut mover, route)?;
    if options.processes > 0 {
        let (few, many) = crowd.costs(&mut mover, route, options)?;
        measurements.push(Measurement::against(
            "batch of many processes, of few",
            many,
            few,
            FLAT_SHARE,
        ));
    }
    Ok(Report {
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        pages: options.pages,
        rounds: options.rounds,
        measurements,
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

pub(super) fn nanoseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
