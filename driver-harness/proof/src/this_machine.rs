// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Evidence from the machine that this program runs on.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use chmu_machine::memory::numa::{self, Placement};
use chmu_machine::memory::page_map::{self, PageMapError};
use chmu_machine::node::NodeId;
use chmu_machine::topology::Topology;
use chmu_machine::topology::target::{NoTarget, promotion_targets};

use crate::evidence::{Evidence, Whereabouts, Witness};
use crate::ledger::Ledger;
use crate::workload::state::State;

/// A proof that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The workload is gone or belongs to somebody else.
    #[error("Cannot ask where the pages of process {process_id} are; does the workload still run?")]
    Query {
        /// The workload's process.
        process_id: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not show where the pages lie.
    #[error(transparent)]
    Frames(#[from] PageMapError),
    /// Promoted pages should not exist.
    #[error("Cannot tell where promoted pages belong")]
    Target(#[from] NoTarget),
}

/// Asks the kernel where the workloads' pages are now. Where `target` is none, pages belong where the
/// topology says.
pub fn gather(
    states: Vec<State>,
    ledger: Option<Ledger>,
    topology: &Topology,
    target: Option<NodeId>,
) -> Result<Evidence, ProofError> {
    let mut witnesses = Vec::new();
    for state in states {
        let whereabouts = whereabouts(&state)?;
        witnesses.push(Witness { state, whereabouts });
    }
    let mut nodes: BTreeSet<_> = witnesses.iter().map(|witness| witness.state.node).collect();
    let mut targets = BTreeMap::new();
    for node in std::mem::take(&mut nodes) {
        targets.insert(node, targets_of(topology, node, target)?);
    }
    // Nodes that only the ledger names: what has no target stays.
    for &node in topology.nodes.keys() {
        if let Ok(found) = targets_of(topology, node, target) {
            targets.entry(node).or_insert(found);
        }
    }
    Ok(Evidence {
        witnesses,
        ledger,
        targets,
    })
}

fn targets_of(
    topology: &Topology,
    node: NodeId,
    target: Option<NodeId>,
) -> Result<Vec<NodeId>, NoTarget> {
    match target {
        Some(target) => Ok(vec![target]),
        None => Ok(promotion_targets(topology, node)?.preferred),
    }
}

/// Where each page of a workload is.
fn whereabouts(state: &State) -> Result<Vec<Whereabouts>, ProofError> {
    let process_id = state.process_id;
    let nodes = numa::query_pages(process_id, &state.page_addresses());
    let nodes = nodes.map_err(|source| ProofError::Query { process_id, source })?;
    let frames = match page_map::read(process_id, state.address, state.pages) {
        Ok(mapped) => mapped.frames,
        Err(PageMapError::Hidden { .. }) => vec![None; nodes.len()],
        Err(error) => return Err(error.into()),
    };
    let place = |(node, frame)| match node {
        Placement::Node(node) => Whereabouts::Present { node, frame },
        Placement::Not(errno) => Whereabouts::Absent(errno),
    };
    Ok(nodes.into_iter().zip(frames).map(place).collect())
}
