// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu workload once`: a stranger beside the workloads, whose every page is touched once.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use chmu_machine::memory::numa::{self, Placement};
use chmu_machine::memory::page_map::PageMap;
use chmu_machine::memory::{Buffer, PAGE_BYTES};
use chmu_machine::node::NodeId;
use chmu_machine::topology::Topology;
use chmu_machine::words;
use chmu_proof::workload::Layout;
use serde::Serialize;

use crate::cli::output::Output;
use crate::cli::signals::Signals;
use crate::cli::values::positive;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The node to put the pages on [default: the slowest node without processors].
    #[arg(long, value_name = "NODE")]
    node: Option<u32>,
    /// How many pages of 4 KiB, one after the other; the last are kept until SIGTERM.
    #[arg(long, value_parser = positive::<u64>, default_value = "30000")]
    pages: u64,
    /// Time from one page to the next, in microseconds.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 300)]
    pause_us: u64,
    /// Writes the frame that each page was given to this file, a line each, as soon as the last page was
    /// touched.
    #[arg(long, value_name = "FILE")]
    frames: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Where the pages are that were touched.
#[derive(Debug, Serialize)]
struct Report {
    process_id: u32,
    node: NodeId,
    pages_touched: u64,
    pages_elsewhere: u64,
    /// Pages that are in another frame than when they were touched.
    pages_moved: u64,
    pages_by_node: BTreeMap<NodeId, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let touched = words::count(self.pages_touched, "page", "pages");
        let (elsewhere, moved, node) = (self.pages_elsewhere, self.pages_moved, self.node);
        writeln!(
            f,
            "{touched} of node {node} touched once; {moved} of them have moved, {elsewhere} are elsewhere now"
        )
    }
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let signals = Signals::catch()?;
    let topology = Topology::read(Path::new("/sys"))?;
    let node = options.node.map(NodeId);
    let node = Layout::choose(&topology, node, options.pages, 0)?.node;
    let mut buffer = Buffer::map(options.pages)?;
    numa::bind(buffer.address(), options.pages * PAGE_BYTES, Some(node))?;
    let pause = Duration::from_micros(options.pause_us);
    let process_id = std::process::id();
    let page_map = PageMap::open(process_id)?;
    let mut frames = Vec::new();
    let mut touched = 0;
    let mut next = Instant::now();
    while touched < options.pages && !signals.stop().is_raised() {
        buffer.write(touched, 0, 1);
        let frame = page_map.frame(buffer.address() + touched * PAGE_BYTES)?;
        frames.push(frame.context("The kernel does not say where a page is that was touched")?);
        touched += 1;
        next += pause;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    if let Some(path) = &options.frames {
        let lines: String = frames
            .iter()
            .map(|frame| format!("{}\n", frame.0))
            .collect();
        fs::write(path, lines).with_context(|| format!("Cannot write {}", path.display()))?;
    }
    signals.wait_for_stop()?;
    let mut addresses = buffer.page_addresses();
    addresses.truncate(usize::try_from(touched).unwrap_or(usize::MAX));
    let places = numa::query_pages(process_id, &addresses)?;
    let frames_now = page_map.frames(buffer.address(), touched)?;
    let stayed = frames.iter().zip(&frames_now);
    let stayed = stayed.filter(|(then, now)| Some(**then) == **now).count() as u64;
    let mut pages_by_node = BTreeMap::new();
    for place in &places {
        if let Placement::Node(node) = place {
            *pages_by_node.entry(*node).or_default() += 1;
        }
    }
    let report = Report {
        process_id,
        node,
        pages_touched: touched,
        pages_moved: touched - stayed,
        pages_elsewhere: touched - pages_by_node.get(&node).copied().unwrap_or(0),
        pages_by_node,
    };
    options.output.print(&report)?;
    Ok(ExitCode::SUCCESS)
}
