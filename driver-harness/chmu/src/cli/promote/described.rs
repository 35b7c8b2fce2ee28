// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The machine that a dry run over a stream decides for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use chmu_machine::acpi::tables::FirmwareTables;
use chmu_machine::node::NodeId;
use chmu_machine::topology::{DescribedNode, Topology};
use chmu_promotion::source::StreamSource;

/// Frames of the fast node of a machine that nobody describes: 4 GiB.
const FAST_FRAMES: u64 = 1 << 20;
/// Frames of such a machine: physical addresses have at most 52 bits.
const FRAMES: u64 = 1 << 40;

/// By the tables in a folder, else by the stream's own description, else two nodes: the first 4 GiB with
/// the processors, and all above as the slow memory.
pub(super) fn topology(tables: Option<&Path>, stream: &StreamSource) -> Result<Topology> {
    if let Some(folder) = tables {
        return of_tables(folder);
    }
    if let Some(topology) = stream.topology()? {
        return Ok(topology);
    }
    let node = |node, cpus, start, end| DescribedNode {
        node: NodeId(node),
        cpus,
        start,
        pages: end - start,
        distances: BTreeMap::new(),
    };
    let fast = node(0, true, 0, FAST_FRAMES);
    let slow = node(1, false, FAST_FRAMES, FRAMES);
    Ok(Topology::described(&[fast, slow])?)
}

fn of_tables(folder: &Path) -> Result<Topology> {
    ensure!(folder.is_dir(), "There is no folder {}", folder.display());
    let (tables, faults) = FirmwareTables::read(folder);
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault.into());
    }
    ensure!(
        tables.srat.is_some(),
        "{} has no table SRAT, which says where each node's memory is",
        folder.display()
    );
    Ok(Topology::from_tables(&tables))
}
