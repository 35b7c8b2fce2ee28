// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where pages of a slow node go when nobody knows which processor uses them.
//!
//! The mirror of how the kernel computes demotion targets (mm/memory-tiers.c,
//! `establish_demotion_targets`): the target is computed per source node from static data, HMAT's by
//! way of the memory tiers and the `access1` initiators, and one is chosen among equals.

use super::Topology;
use crate::node::NodeId;

/// Promotion targets of one node, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// Equally good by distance; those with more free memory first.
    pub preferred: Vec<NodeId>,
    /// Every other node of a faster tier, nearest tier first.
    pub fallback: Vec<NodeId>,
}

impl Targets {
    /// The first target with room for `bytes`, preferred ones first.
    pub fn with_room(&self, topology: &Topology, bytes: u64) -> Option<NodeId> {
        let has_room = |node: &&NodeId| {
            let node = topology.nodes.get(node);
            node.is_some_and(|node| node.free_bytes >= bytes)
        };
        self.preferred
            .iter()
            .chain(&self.fallback)
            .find(has_room)
            .copied()
    }
}

/// Why a node's pages go nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// The kernel lists it in no tier: it has no memory, or there are no tiers.
    #[error("Node {0} is in no memory tier")]
    NoTier(NodeId),
    /// Its memory is as fast as that of a node with processors.
    #[error("Node {0} is in the top memory tier already")]
    TopTier(NodeId),
    /// No faster tier has memory.
    #[error("No memory tier faster than that of node {0} has memory")]
    NoFasterMemory(NodeId),
}

/// The promotion targets of `source`.
///
/// - A node at or above the slowest tier that contains processors is in the top tier
///   (`node_is_toptier`): its pages stay.
/// - Preferred are the processor nodes closest to `source` by HMAT, when they have memory in the top
///   tier: a page read from there is most likely read by them.
/// - Otherwise the nodes of the nearest faster tier, by distance, with the kernel's small penalties
///   (a node before the source in number, a node without processors), mirrored.
pub fn promotion_targets(topology: &Topology, source: NodeId) -> Result<Targets, NoTarget> {
    let tier = topology.tier_of(source).ok_or(NoTarget::NoTier(source))?;
    let slowest_top = slowest_tier_with_cpu(topology);
    if slowest_top.is_some_and(|top| tier <= top) {
        return Err(NoTarget::TopTier(source));
    }
    let faster: Vec<Vec<NodeId>> = topology.tiers[..tier]
        .iter()
        .rev()
        .map(|tier| with_memory(topology, &tier.nodes))
        .filter(|nodes| !nodes.is_empty())
        .collect();
    let nearest = faster.first().ok_or(NoTarget::NoFasterMemory(source))?;
    let top = &topology.tiers[..slowest_top.map_or(0, |top| top + 1)];
    let initiators: Vec<_> = topology.nodes.get(&source).map_or(Vec::new(), |node| {
        with_memory(topology, &node.cpu_initiators)
            .into_iter()
            .filter(|node| top.iter().any(|tier| tier.nodes.contains(node)))
            .collect()
    });
    let candidates = match initiators.is_empty() {
        true => nearest,
        false => &initiators,
    };
    let preferred = closest(topology, source, candidates);
    let fallback = faster
        .into_iter()
        .flatten()
        .filter(|node| !preferred.contains(node))
        .collect();
    Ok(Targets {
        preferred,
        fallback,
    })
}

fn slowest_tier_with_cpu(topology: &Topology) -> Option<usize> {
    let has_cpu = |node| topology.nodes.get(node).is_some_and(|node| node.has_cpu);
    topology
        .tiers
        .iter()
        .rposition(|tier| tier.nodes.iter().any(has_cpu))
}

fn with_memory(topology: &Topology, nodes: &[NodeId]) -> Vec<NodeId> {
    let has_memory = |id: &NodeId| topology.nodes.get(id).is_some_and(|node| node.has_memory);
    nodes.iter().copied().filter(has_memory).collect()
}

/// All candidates of the lowest cost, most free memory first.
fn closest(topology: &Topology, source: NodeId, candidates: &[NodeId]) -> Vec<NodeId> {
    let cost = |candidate: NodeId| {
        let node = topology.nodes.get(&candidate);
        let distance = topology
            .nodes
            .get(&source)
            .and_then(|node| node.distances.get(&candidate))
            .map_or(u64::from(u32::MAX), |&distance| distance.into());
        let without_cpu = node.is_none_or(|node| !node.has_cpu);
        distance + u64::from(candidate < source) + u64::from(without_cpu)
    };
    let lowest = candidates.iter().map(|&node| cost(node)).min();
    let mut closest: Vec<_> = candidates
        .iter()
        .copied()
        .filter(|&node| Some(cost(node)) == lowest)
        .collect();
    let free = |node: &NodeId| topology.nodes.get(node).map_or(0, |node| node.free_bytes);
    closest.sort_by_key(|node| (std::cmp::Reverse(free(node)), *node));
    closest
}

#[cfg(test)]
mod tests;
