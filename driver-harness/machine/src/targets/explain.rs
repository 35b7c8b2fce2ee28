// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the pages of every node go, and why: what `chmu targets` prints.

use serde::Serialize;

use super::{Chooser, NoTarget, Request, Targets, promotion_target};
use crate::acpi::tables::Performance;
use crate::memory::PAGE_BYTES;
use crate::node::NodeId;
use crate::topology::{Node, Topology};
use crate::watermarks::Headroom;

/// A node, and where its pages go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeExplanation {
    /// Its number.
    pub node: NodeId,
    /// Its tier's number, smaller is faster; none without memory or tier.
    pub tier: Option<u32>,
    /// It has processors.
    pub has_processors: bool,
    /// It has memory.
    pub has_memory: bool,
    /// Bytes of the caches in front of its memory, 0 for none.
    pub side_cache_bytes: u64,
    /// Bytes that are free above its watermarks; none where that is not known.
    pub headroom_bytes: Option<u64>,
    /// What the nearest processors find in its memory; none where that is not known.
    pub access: Option<NearestAccess>,
    /// Where a page goes now; none when it goes nowhere.
    pub target: Option<NodeId>,
    /// Why it goes there, or nowhere.
    pub sentence: String,
    /// All nodes that it may go to, best first.
    pub targets: Vec<TargetExplanation>,
    /// Nodes that HMAT calls nearest although distances call others nearer.
    pub nearest_by_hmat: Vec<NodeId>,
    /// The tables know its memory only as a CXL window.
    pub is_window: bool,
}

/// What processors find in a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NearestAccess {
    /// Where the processors are.
    pub from: NodeId,
    /// What they find.
    #[serde(flatten)]
    pub performance: Performance,
}

/// A node that pages may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TargetExplanation {
    /// Its number.
    pub node: NodeId,
    /// It is one of the nearest of the next faster tier.
    pub preferred: bool,
    /// Its distance from the pages; none where that is not known.
    pub distance: Option<u32>,
    /// Bytes that are free above its watermarks; none where that is not known.
    pub headroom_bytes: Option<u64>,
    /// What the nearest processors find in its memory; none where that is not known.
    pub access: Option<NearestAccess>,
}

/// Explains every node, in the order of their numbers.
pub fn explain(topology: &Topology, headroom: &Headroom) -> Vec<NodeExplanation> {
    let nodes = topology.nodes.iter();
    nodes
        .map(|(&id, node)| explain_node(topology, headroom, id, node))
        .collect()
}

fn explain_node(
    topology: &Topology,
    headroom: &Headroom,
    id: NodeId,
    node: &Node,
) -> NodeExplanation {
    let request = Request {
        source: id,
        accessor: None,
        bytes: PAGE_BYTES,
    };
    let decision = promotion_target(&request, topology, headroom, &mut Chooser::default());
    let targets = Targets::of(topology, id).ok();
    let each = targets.iter().flat_map(|targets| {
        let target = |target| TargetExplanation {
            node: target,
            preferred: targets.preferred.contains(&target),
            distance: node.distances.get(&target).copied(),
            headroom_bytes: headroom.bytes(target),
            access: nearest_access(topology, target),
        };
        targets.all().map(target)
    });
    let tier = topology.tier_of(id);
    NodeExplanation {
        node: id,
        tier: tier.and_then(|tier| Some(topology.tiers.get(tier)?.rank)),
        has_processors: node.has_cpu,
        has_memory: node.has_memory,
        side_cache_bytes: node.side_cache_bytes,
        headroom_bytes: headroom.bytes(id),
        access: nearest_access(topology, id),
        target: decision.as_ref().ok().map(|decision| decision.target),
        sentence: match &decision {
            Ok(decision) => decision.to_string(),
            Err(reason) => no_target(topology, node, reason),
        },
        targets: each.collect(),
        nearest_by_hmat: targets.map_or_else(Vec::new, |targets| targets.nearest_by_hmat),
        is_window: node.is_window,
    }
}

/// The reason, and what a user may not expect: slow memory that its kernel takes for fast.
fn no_target(topology: &Topology, node: &Node, reason: &NoTarget) -> String {
    match reason {
        NoTarget::TopTier(id)
            if !node.has_cpu && topology.performance.of_memory(*id, node).is_none() =>
        {
            format!(
                "{reason}; the kernel knows no latency and bandwidth of it, so takes it for \
                 ordinary memory."
            )
        }
        reason => format!("{reason}."),
    }
}

fn nearest_access(topology: &Topology, id: NodeId) -> Option<NearestAccess> {
    let node = topology.nodes.get(&id)?;
    Some(NearestAccess {
        from: *node.cpu_initiators.first()?,
        performance: topology.performance.of_memory(id, node)?,
    })
}
