// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where pages of a fast node go when room is made there: the kernel's own demotion targets (Linux
//! mm/memory-tiers.c, `establish_demotion_targets`).

use super::NoTarget;
use crate::node::NodeId;
use crate::topology::Topology;
use crate::watermarks::Headroom;

/// Demotion targets of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemotionTargets {
    /// All nodes of the next slower tier that has memory which are at the smallest distance.
    pub preferred: Vec<NodeId>,
    /// Every other node of a slower tier, nearest tier and distance first.
    pub fallback: Vec<NodeId>,
}

impl DemotionTargets {
    /// The demotion targets of `source`.
    ///
    /// # Errors
    /// When it is not there, is in no tier, or no slower memory is.
    pub fn of(topology: &Topology, source: NodeId) -> Result<DemotionTargets, NoTarget> {
        let node = topology.nodes.get(&source);
        let node = node.ok_or(NoTarget::NotOnline(source))?;
        let tier = topology.tier_of(source).ok_or(NoTarget::NoTier(source))?;
        let distance = |id: &NodeId| node.distances.get(id).copied().unwrap_or(u32::MAX);
        let slower = topology.tiers.iter().skip(tier + 1).map(|tier| {
            let has_memory = |id: &&NodeId| topology.nodes.get(id).is_some_and(|it| it.has_memory);
            let mut nodes: Vec<_> = tier.nodes.iter().filter(has_memory).copied().collect();
            nodes.sort_unstable_by_key(|id| (distance(id), *id));
            nodes
        });
        let mut slower = slower.filter(|nodes| !nodes.is_empty());
        let next = slower.next().ok_or(NoTarget::NoSlowerMemory(source))?;
        let nearest = next.first().map_or(u32::MAX, distance);
        let (preferred, farther): (Vec<_>, Vec<_>) =
            next.into_iter().partition(|id| distance(id) == nearest);
        let fallback = farther.into_iter().chain(slower.flatten()).collect();
        Ok(DemotionTargets {
            preferred,
            fallback,
        })
    }

    /// All of them, best first.
    pub fn all(&self) -> impl Iterator<Item = NodeId> {
        self.preferred.iter().chain(&self.fallback).copied()
    }

    /// The best one that can take so much, and of equals the one with most room.
    pub fn choose(&self, bytes: u64, headroom: &Headroom) -> Option<NodeId> {
        let has_room = |node: &NodeId| headroom.has_room(*node, bytes);
        let preferred = self.preferred.iter().copied().filter(has_room);
        let preferred = preferred.max_by_key(|node| {
            let room = headroom.bytes(*node).unwrap_or(u64::MAX);
            (room, std::cmp::Reverse(*node))
        });
        preferred.or_else(|| self.fallback.iter().copied().find(has_room))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::topology::DescribedNode;

    /// Two sockets, each with a CXL node of its own, and a slower one far from both.
    fn topology() -> Topology {
        let node = |node, cpus, distances: &[(u32, u32)]| DescribedNode {
            node: NodeId(node),
            cpus,
            start: u64::from(node) << 20,
            pages: 1 << 18,
            distances: distances
                .iter()
                .map(|&(other, distance)| (NodeId(other), distance))
                .collect::<BTreeMap<_, _>>(),
        };
        Topology::described(&[
            node(0, true, &[(1, 21), (2, 14), (3, 24), (4, 50)]),
            node(1, true, &[(0, 21), (2, 24), (3, 14), (4, 50)]),
            node(2, false, &[(0, 14), (1, 24)]),
            node(3, false, &[(0, 24), (1, 14)]),
            node(4, false, &[(0, 50), (1, 50)]),
        ])
        .unwrap()
    }

    #[test]
    fn pages_go_to_the_nearest_of_the_next_slower_tier() {
        let topology = topology();
        let of = |node| DemotionTargets::of(&topology, NodeId(node));
        assert_eq!(of(0).unwrap().preferred, [NodeId(2)]);
        assert_eq!(of(0).unwrap().fallback, [NodeId(3), NodeId(4)]);
        assert_eq!(of(1).unwrap().preferred, [NodeId(3)]);
        assert_eq!(of(4), Err(NoTarget::NoSlowerMemory(NodeId(4))));
        assert_eq!(of(9), Err(NoTarget::NotOnline(NodeId(9))));
    }

    #[test]
    fn a_node_without_room_is_passed_over() {
        let targets = DemotionTargets {
            preferred: vec![NodeId(2), NodeId(3)],
            fallback: vec![NodeId(4)],
        };
        let choose = |rooms: &[(u32, u64)]| {
            let rooms = rooms.iter().map(|&(node, bytes)| (NodeId(node), bytes));
            targets.choose(10, &Headroom::of(rooms))
        };
        assert_eq!(choose(&[(2, 10), (3, 11)]), Some(NodeId(3)));
        assert_eq!(choose(&[(2, 10), (3, 10)]), Some(NodeId(2)));
        assert_eq!(choose(&[(2, 9), (3, 9), (4, 10)]), Some(NodeId(4)));
        assert_eq!(choose(&[(2, 9), (3, 9), (4, 9)]), None);
    }
}
