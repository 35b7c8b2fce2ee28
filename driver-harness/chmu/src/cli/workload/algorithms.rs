// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu workload graph`, `gups` and `chase`: programs with the accesses of real ones, wherever the kernel puts their
//! memory.

use std::fmt;
use std::process::ExitCode;
use std::time::Instant;

use chmu_machine::words;
use chmu_proof::algorithms::Wrong;
use chmu_proof::algorithms::chase::Chase;
use chmu_proof::algorithms::graph::{self, Graph};
use chmu_proof::algorithms::updates::{self, Table};
use serde::Serialize;

use crate::cli::exit_code::NEGATIVE_RESULT;
use crate::cli::output::Output;
use crate::cli::values::positive;

/// What all of them take.
#[derive(Debug, clap::Args)]
struct Common {
    /// Chooses what is at random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Makes something wrong, which must be found.
    #[arg(long)]
    spoil: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct GraphOptions {
    /// Two to the power of this many vertices.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=28))]
    scale: u32,
    /// Edges for each vertex.
    #[arg(long, value_name = "NUMBER", default_value = "16", value_parser = positive::<u32>)]
    edges_per_vertex: u32,
    /// Searches from so many vertices.
    #[arg(long, value_name = "NUMBER", default_value = "4", value_parser = positive::<u64>)]
    roots: u64,
    /// Improves ranks so many times.
    #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = positive::<u32>)]
    iterations: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct UpdateOptions {
    /// Size of the table.
    #[arg(long, value_name = "MIB", default_value = "64", value_parser = positive::<u32>)]
    mib: u32,
    /// So many updates before the window moves on.
    #[arg(long, value_name = "NUMBER", default_value = "2000000", value_parser = positive::<u64>)]
    updates: u64,
    /// The window, an eighth of the table, is in so many places.
    #[arg(long, value_name = "NUMBER", default_value = "4", value_parser = positive::<u64>)]
    moves: u64,
    /// Updates of the window, as a percentage of all.
    #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
    hot_percent: u8,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct ChaseOptions {
    /// Size of the lines together.
    #[arg(long, value_name = "MIB", default_value = "32", value_parser = clap::value_parser!(u32).range(1..=131_072))]
    mib: u32,
    /// Goes through all of them so many times.
    #[arg(long, value_name = "NUMBER", default_value = "4", value_parser = positive::<u64>)]
    rounds: u64,
    #[command(flatten)]
    common: Common,
}

/// What a program did.
#[derive(Debug, Serialize)]
struct Report {
    program: &'static str,
    bytes: u64,
    /// What was done, by name, in the program's own order.
    done: Vec<Done>,
    /// On an emulated machine this says nothing of a real one.
    seconds: f64,
    /// Why the result is wrong.
    wrong: Option<String>,
}

#[derive(Debug, Serialize)]
struct Done {
    what: &'static str,
    count: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.done.iter();
        let done: Vec<_> = done
            .map(|done| format!("{} {}", done.count, done.what))
            .collect();
        writeln!(
            f,
            "{} in {}, in {:.1} s",
            done.join(", "),
            words::amount(self.bytes),
            self.seconds
        )?;
        match &self.wrong {
            None => writeln!(f, "All of it is right"),
            Some(wrong) => writeln!(f, "Wrong: {wrong}"),
        }
    }
}

impl Common {
    /// Runs a program, and says what came of it.
    fn run(
        &self,
        program: &'static str,
        bytes: u64,
        work: impl FnOnce() -> (Vec<Done>, Result<(), Wrong>),
    ) -> anyhow::Result<ExitCode> {
        let start = Instant::now();
        let (done, checked) = work();
        let report = Report {
            program,
            bytes,
            done,
            seconds: start.elapsed().as_secs_f64(),
            wrong: checked.err().map(|wrong| wrong.to_string()),
        };
        self.output.print(&report)?;
        Ok(match report.wrong {
            None => ExitCode::SUCCESS,
            Some(_) => NEGATIVE_RESULT.into(),
        })
    }
}

fn done(what: &'static str, count: u64) -> Done {
    Done { what, count }
}

pub(super) fn graph(options: &GraphOptions) -> anyhow::Result<ExitCode> {
    let plan = graph::Plan {
        scale: options.scale,
        edges_per_vertex: options.edges_per_vertex,
        seed: options.common.seed,
    };
    let (vertices, edges) = (plan.vertices(), plan.edges());
    // Each edge is there three times, with two vertices, one and one; a vertex has a place and two ranks.
    let bytes = edges * 16 + vertices * 24;
    options.common.run("graph", bytes, || {
        let mut graph = Graph::kronecker(plan);
        if options.common.spoil {
            graph.spoil();
        }
        let (mut reached, mut checked) = (0, Ok(()));
        for root in (0..options.roots).filter_map(|number| graph.root(number)) {
            let found = graph.search(root);
            reached += found.vertices() as u64;
            checked = checked.and_then(|()| found.check(&graph));
        }
        let ranks = graph.rank(options.iterations);
        let checked = checked.and_then(|()| ranks.check(&graph));
        let counts = vec![
            done("vertices", vertices),
            done("edges", edges),
            done("reached", reached),
            done("ranked", u64::from(options.iterations) * vertices),
        ];
        (counts, checked)
    })
}

pub(super) fn gups(options: &UpdateOptions) -> anyhow::Result<ExitCode> {
    let bytes = u64::from(options.mib) << 20;
    options.common.run("gups", bytes, || {
        let mut table = Table::new(updates::Plan {
            entries: bytes / 8,
            updates: options.updates,
            moves: options.moves,
            hot_percent: options.hot_percent,
            seed: options.common.seed,
        });
        let updated = table.update();
        if options.common.spoil {
            table.spoil();
        }
        (vec![done("updates", updated)], table.check())
    })
}

pub(super) fn chase(options: &ChaseOptions) -> anyhow::Result<ExitCode> {
    let lines = options.mib << 14;
    options
        .common
        .run("chase", u64::from(options.mib) << 20, || {
            let mut chase = Chase::new(lines, options.common.seed);
            if options.common.spoil {
                chase.spoil();
            }
            let ran = chase.run(options.rounds);
            let steps = ran.as_ref().copied().unwrap_or_default();
            (vec![done("steps", steps)], ran.map(|_| ()))
        })
}
