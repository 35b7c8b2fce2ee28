// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The nodes that pages of one node may be promoted to, and which of them are preferred.

use super::{Chooser, Decision, NoTarget, Reason, Request};
use crate::node::NodeId;
use crate::topology::{Node, Topology};
use crate::watermarks::Headroom;

/// Promotion targets of one node, from what does not change while its machine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// The node that pages are on.
    pub source: NodeId,
    /// The nodes of the nearest faster tier that are at the smallest distance, those first whose
    /// processors HMAT calls nearest to the source.
    pub preferred: Vec<NodeId>,
    /// Every other node of a faster tier, nearest tier and distance first.
    pub fallback: Vec<NodeId>,
    /// How many of the preferred, from the first on, are equally good.
    pub equals: usize,
    /// The distance of the preferred, 10 being one's own; none where the kernel does not tell.
    pub distance: Option<u32>,
    /// Nodes that HMAT calls nearest to the source although distances call others nearer.
    pub nearest_by_hmat: Vec<NodeId>,
}

impl Targets {
    /// The promotion targets of `source`.
    ///
    /// # Errors
    /// When its pages go nowhere, for a reason that does not depend on who has room.
    pub fn of(topology: &Topology, source: NodeId) -> Result<Targets, NoTarget> {
        let node = topology.nodes.get(&source);
        let node = node.ok_or(NoTarget::NotOnline(source))?;
        if !node.has_memory {
            return Err(NoTarget::NoMemory(source));
        }
        let tier = topology.tier_of(source).ok_or(NoTarget::NoTier(source))?;
        if slowest_tier_with_cpu(topology).is_some_and(|top| tier <= top) {
            return Err(NoTarget::TopTier(source));
        }
        let faster = topology.tiers[..tier].iter().rev();
        let mut faster = faster
            .map(|tier| by_preference(topology, source, node, &tier.nodes))
            .filter(|nodes| !nodes.is_empty());
        let nearest_tier = faster.next().ok_or(NoTarget::NoFasterMemory(source))?;
        let distance = nearest_tier.first().and_then(|first| first.distance());
        let is_nearest = |target: &Rank| target.distance() == distance;
        let (preferred, farther): (Vec<_>, Vec<_>) = nearest_tier.into_iter().partition(is_nearest);
        let by_hmat = preferred.iter().filter(|target| target.is_initiator);
        let equals = match by_hmat.count() {
            0 => preferred.len(),
            nearest => nearest,
        };
        let fallback: Vec<_> = farther.into_iter().chain(faster.flatten()).collect();
        let nearest_by_hmat = match preferred.iter().any(|target| target.is_initiator) {
            true => Vec::new(),
            false => ids(fallback.iter().filter(|target| target.is_initiator)),
        };
        Ok(Targets {
            source,
            preferred: ids(&preferred),
            fallback: ids(&fallback),
            equals,
            distance,
            nearest_by_hmat,
        })
    }

    /// Whether pages of the source may be promoted to a node at all.
    pub fn is_legal(&self, node: NodeId) -> bool {
        self.preferred.contains(&node) || self.fallback.contains(&node)
    }

    /// One of the targets.
    ///
    /// # Errors
    /// When none has room.
    pub fn choose(
        &self,
        request: &Request,
        headroom: &Headroom,
        chooser: &mut Chooser,
    ) -> Result<Decision, NoTarget> {
        let with_room = |nodes: &[NodeId]| -> Vec<NodeId> {
            let has_room = |node: &&NodeId| headroom.has_room(**node, request.bytes);
            nodes.iter().filter(has_room).copied().collect()
        };
        let accessor = request.accessor.filter(|accessor| self.is_legal(*accessor));
        if let Some(target) = accessor.filter(|node| headroom.has_room(*node, request.bytes)) {
            return Ok(self.decision(target, Reason::Accessor, headroom, request.bytes));
        }
        let equals = self.equals.min(self.preferred.len());
        let (first, later) = self.preferred.split_at(equals);
        let open = with_room(first);
        let reason = match (&*open, self.preferred.len(), chooser.choice()) {
            ([_], 1, _) => Reason::Only,
            ([_], ..) if equals == 1 => Reason::NearestProcessors,
            ([_], ..) => Reason::OnlyWithRoom,
            (_, _, choice) => Reason::Equal(choice),
        };
        if let Some(target) = chooser.choose(self.source, &open, headroom) {
            return Ok(self.decision(target, reason, headroom, request.bytes));
        }
        let others = [
            (later, Reason::PreferredFull),
            (&self.fallback, Reason::Fallback),
        ];
        for (nodes, reason) in others {
            if let Some(&target) = with_room(nodes).first() {
                return Ok(self.decision(target, reason, headroom, request.bytes));
            }
        }
        Err(NoTarget::Full {
            source_node: self.source,
            targets: self.all().collect(),
        })
    }

    /// Preferred ones, then the others, best first.
    pub fn all(&self) -> impl Iterator<Item = NodeId> {
        self.preferred.iter().chain(&self.fallback).copied()
    }

    fn decision(
        &self,
        target: NodeId,
        reason: Reason,
        headroom: &Headroom,
        bytes: u64,
    ) -> Decision {
        let full = self.all().filter(|node| !headroom.has_room(*node, bytes));
        Decision {
            target,
            reason,
            full: full.collect(),
            targets: self.clone(),
        }
    }
}

/// How good a node is as a target: the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rank {
    id: NodeId,
    /// What cannot be reached, as far as is known, is the farthest.
    distance: u32,
    is_initiator: bool,
    /// The kernel's: a node before the source in number, and here one without processors where the
    /// kernel's demotion prefers such.
    penalty: u32,
}

impl Rank {
    fn distance(&self) -> Option<u32> {
        (self.distance != u32::MAX).then_some(self.distance)
    }
}

/// The nodes with memory, best first.
fn by_preference(
    topology: &Topology,
    source: NodeId,
    source_node: &Node,
    nodes: &[NodeId],
) -> Vec<Rank> {
    let rank = |&id: &NodeId| {
        let node = topology.nodes.get(&id).filter(|node| node.has_memory)?;
        Some(Rank {
            id,
            distance: source_node.distances.get(&id).copied().unwrap_or(u32::MAX),
            is_initiator: source_node.cpu_initiators.contains(&id),
            penalty: u32::from(id < source) + u32::from(!node.has_cpu),
        })
    };
    let mut ranks: Vec<_> = nodes.iter().filter_map(rank).collect();
    ranks.sort_by_key(|rank| (rank.distance, !rank.is_initiator, rank.penalty, rank.id));
    ranks
}

fn ids<'a>(ranks: impl IntoIterator<Item = &'a Rank>) -> Vec<NodeId> {
    ranks.into_iter().map(|rank| rank.id).collect()
}

/// From this tier on upwards pages stay where they are.
fn slowest_tier_with_cpu(topology: &Topology) -> Option<usize> {
    let has_cpu = |node| topology.nodes.get(node).is_some_and(|node| node.has_cpu);
    let mut tiers = topology.tiers.iter();
    tiers.rposition(|tier| tier.nodes.iter().any(has_cpu))
}
