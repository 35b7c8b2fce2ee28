// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Evidence from the machine that this program runs on.

use std::collections::BTreeMap;
use std::io;

use chmu_machine::clock;
use chmu_machine::memory::numa::{self, Placement};
use chmu_machine::memory::page_file::PageFile;
use chmu_machine::memory::page_map::{self, PageMap, PageMapError};
use chmu_machine::node::NodeId;
use chmu_machine::targets::{DemotionTargets, NoTarget, Targets};
use chmu_machine::topology::Topology;

use crate::evidence::{Evidence, Truth, Whereabouts, Witness};
use crate::ledger::Ledger;
use crate::observation::ObservedNode;
use crate::workload::state::State;

/// A proof that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The process is gone or belongs to somebody else.
    #[error("Cannot ask where the pages of process {process_id} are; does it still run?")]
    Query {
        /// The process.
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

/// Which nodes are right for promoted pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Right {
    /// The best ones by the machine's tables: those among which one is chosen when all have room.
    #[default]
    Best,
    /// Every node of a faster tier, as when the best are full.
    Faster,
    /// This one.
    Node(NodeId),
}

/// Asks the kernel where the pages of workloads, and of programs that were observed, are now.
pub fn gather(
    states: Vec<State>,
    observed: Vec<ObservedNode>,
    ledger: Option<Ledger>,
    topology: &Topology,
    right: Right,
) -> Result<Evidence, ProofError> {
    let mut witnesses = Vec::new();
    for state in states {
        let whereabouts = whereabouts(&state)?;
        witnesses.push(Witness {
            truth: Truth::Told(Box::new(state)),
            whereabouts,
        });
    }
    for observed in observed {
        let whereabouts = observed_whereabouts(&observed)?;
        witnesses.push(Witness {
            truth: Truth::Observed(observed),
            whereabouts,
        });
    }
    let mut targets = BTreeMap::new();
    for witness in &witnesses {
        let node = witness.truth.node();
        match targets_of(topology, node, right) {
            Ok(found) => drop(targets.insert(node, found)),
            // Its pages are to stay.
            Err(NoTarget::TopTier(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Evidence {
        targets: all_targets(topology, right, targets),
        demotion_targets: demotion_targets(topology),
        witnesses,
        ledger,
        now_ns: clock::monotonic_ns(),
    })
}

/// Adds nodes that only a ledger names. What has no target stays.
pub(crate) fn all_targets(
    topology: &Topology,
    right: Right,
    mut targets: BTreeMap<NodeId, Vec<NodeId>>,
) -> BTreeMap<NodeId, Vec<NodeId>> {
    for &node in topology.nodes.keys() {
        if let Ok(found) = targets_of(topology, node, right) {
            targets.entry(node).or_insert(found);
        }
    }
    targets
}

/// Where pages of each node may be demoted to: every node of a slower tier.
pub(crate) fn demotion_targets(topology: &Topology) -> BTreeMap<NodeId, Vec<NodeId>> {
    let nodes = topology.nodes.keys();
    let targets = nodes.filter_map(|&node| {
        let targets = DemotionTargets::of(topology, node).ok()?;
        Some((node, targets.all().collect()))
    });
    targets.collect()
}

fn targets_of(topology: &Topology, node: NodeId, right: Right) -> Result<Vec<NodeId>, NoTarget> {
    Ok(match right {
        // What is there already is to stay.
        Right::Node(target) if target == node => return Err(NoTarget::TopTier(node)),
        Right::Node(target) => vec![target],
        Right::Best => {
            let targets = Targets::of(topology, node)?;
            targets.preferred.into_iter().take(targets.equals).collect()
        }
        Right::Faster => {
            let targets = Targets::of(topology, node)?;
            targets
                .preferred
                .into_iter()
                .chain(targets.fallback)
                .collect()
        }
    })
}

/// Where each page of a workload is.
fn whereabouts(state: &State) -> Result<Vec<Whereabouts>, ProofError> {
    let query = |source| ProofError::Query {
        process_id: state.process_id,
        source,
    };
    // Who maps the pages of a file sees them where everybody does, those that nobody else maps too.
    let mapped = state.file.as_ref();
    let mapped = mapped
        .map(|path| PageFile::map(path, state.pages))
        .transpose();
    let mapped = mapped.map_err(query)?;
    let (process_id, address, addresses) = match &mapped {
        Some(mapped) => (
            std::process::id(),
            mapped.address(),
            mapped.page_addresses(),
        ),
        None => (state.process_id, state.address, state.page_addresses()),
    };
    let nodes = numa::query_pages(process_id, &addresses).map_err(query)?;
    let frames = match page_map::read(process_id, address, state.pages) {
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

/// Where each page of a program is that was observed. Of an address that holds another page by now,
/// nobody knows what became of the earlier ones.
fn observed_whereabouts(observed: &ObservedNode) -> Result<Vec<Whereabouts>, ProofError> {
    let process_id = observed.process_id;
    let addresses: Vec<_> = observed.pages.iter().map(|page| page.address).collect();
    let nodes = numa::query_pages(process_id, &addresses);
    let nodes = nodes.map_err(|source| ProofError::Query { process_id, source })?;
    let map = PageMap::open(process_id)?;
    let mut whereabouts = Vec::new();
    for (page, node) in observed.pages.iter().zip(nodes) {
        whereabouts.push(match node {
            _ if !page.is_last => Whereabouts::Absent(libc::ENOENT),
            Placement::Not(errno) => Whereabouts::Absent(errno),
            Placement::Node(node) => Whereabouts::Present {
                node,
                frame: map.frame(page.address)?,
            },
        });
    }
    Ok(whereabouts)
}
