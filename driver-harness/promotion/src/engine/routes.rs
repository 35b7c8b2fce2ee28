// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which node a page is on, and which it goes to.

use std::collections::BTreeMap;
use std::ops::Range;

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::node::NodeId;
use chmu_machine::targets::{Choice, Chooser, DemotionTargets, NoTarget, Request, Targets};
use chmu_machine::topology::Topology;
use chmu_machine::watermarks::Headroom;
use chmu_spec::address::Pfn;

use super::policy::Destination;
use crate::batch::{Folio, Route};
use crate::machine::{Machine, MachineError};
use crate::rejection::Rejection;

/// Nodes come and go rarely: what is known of them holds for so long.
const KNOWLEDGE_NS: u64 = 1_000_000_000;

/// The nodes as they were known a moment ago.
#[derive(Debug)]
pub(super) struct Routes {
    destination: Destination,
    chooser: Chooser,
    topology: Topology,
    headroom: Headroom,
    targets: BTreeMap<NodeId, Result<Targets, Rejection>>,
    read_ns: Option<u64>,
}

impl Routes {
    pub(super) fn new(destination: Destination, seed: u64) -> Routes {
        Routes {
            destination,
            chooser: Chooser::new(Choice::RoundRobin, seed),
            topology: Topology::default(),
            headroom: Headroom::default(),
            targets: BTreeMap::new(),
            read_ns: None,
        }
    }

    /// Asks the machine again when what is known is too old.
    pub(super) fn refresh(
        &mut self,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<(), MachineError> {
        let age_ns = self.read_ns.map(|read_ns| now_ns.saturating_sub(read_ns));
        if age_ns.is_none_or(|age_ns| age_ns >= KNOWLEDGE_NS) {
            self.topology = machine.topology()?;
            self.headroom = machine.headroom()?;
            self.targets.clear();
            self.read_ns = Some(now_ns);
        }
        Ok(())
    }

    /// What the nodes can take now.
    pub(super) fn refresh_headroom(&mut self, machine: &dyn Machine) -> Result<(), MachineError> {
        self.headroom = machine.headroom()?;
        Ok(())
    }

    /// Pages that a node can take, beyond those that are on their way.
    pub(super) fn room_pages(&self, node: NodeId) -> u64 {
        self.headroom
            .bytes(node)
            .map_or(u64::MAX, |bytes| bytes / PAGE_BYTES)
    }

    /// Free pages of a node that processors keep back.
    pub(super) fn kept_back_pages(&self, node: NodeId) -> u64 {
        self.headroom.kept_back_bytes(node) / PAGE_BYTES
    }

    /// The node that a frame is on, if pages of that node are promoted at all.
    pub(super) fn source(&mut self, frame: Pfn) -> Result<NodeId, Rejection> {
        let source = self.topology.node_of(frame).ok_or(Rejection::UnknownNode)?;
        match self.destination {
            Destination::Node(target) if target == source => Err(Rejection::AlreadyThere),
            Destination::Node(_) => Ok(source),
            Destination::Deferred => match self.targets_of(source) {
                Ok(_) => Ok(source),
                Err(rejection) => Err(*rejection),
            },
        }
    }

    /// From where to where a folio goes: `promotion_target(nid)` unless the policy names a node. The
    /// accessor's node is taken where it is known and legal.
    pub(super) fn route(
        &mut self,
        folio: Folio,
        accessor: Option<NodeId>,
    ) -> Result<Route, Rejection> {
        let source = self.source(folio.head)?;
        let bytes = folio.pages.saturating_mul(PAGE_BYTES);
        let target = match self.destination {
            Destination::Node(target) if self.headroom.has_room(target, bytes) => target,
            Destination::Node(_) => return Err(Rejection::TargetFull),
            Destination::Deferred => {
                let request = Request {
                    source,
                    accessor,
                    bytes,
                };
                let targets = self
                    .targets_of(source)
                    .as_ref()
                    .map_err(|reason| *reason)?
                    .clone();
                let decision = targets.choose(&request, &self.headroom, &mut self.chooser);
                decision.map_err(|reason| rejection_of(&reason))?.target
            }
        };
        self.headroom.take(target, bytes);
        Ok(Route { source, target })
    }

    /// The node that pages of a node should go to, whether it has room or not.
    pub(super) fn wished_target(&mut self, source: NodeId) -> Option<NodeId> {
        match self.destination {
            Destination::Node(target) => Some(target),
            Destination::Deferred => {
                let targets = self.targets_of(source).as_ref().ok()?;
                targets.preferred.first().copied()
            }
        }
    }

    /// Where so many pages of a node go to make room there; none when there is no slower memory, or none
    /// with room.
    pub(super) fn demotion_target(&self, node: NodeId, pages: u64) -> Option<NodeId> {
        let targets = DemotionTargets::of(&self.topology, node).ok()?;
        targets.choose(pages.saturating_mul(PAGE_BYTES), &self.headroom)
    }

    /// The frames of a node, ascending.
    pub(super) fn memory_of(&self, node: NodeId) -> Vec<Range<u64>> {
        let memory = self.topology.memory();
        let memory = memory.filter(|(_, other)| *other == node);
        let mut memory: Vec<_> = memory
            .map(|(frames, _)| frames.start.0..frames.end.0)
            .collect();
        memory.sort_unstable_by_key(|frames| frames.start);
        memory
    }

    /// Whether a frame is on this node.
    pub(super) fn is_on(&self, frame: Pfn, node: NodeId) -> bool {
        self.topology.node_of(frame) == Some(node)
    }

    /// Whether there is slower memory than that of a frame.
    pub(super) fn is_demotable(&self, frame: Pfn) -> bool {
        let node = self.topology.node_of(frame);
        node.is_some_and(|node| DemotionTargets::of(&self.topology, node).is_ok())
    }

    fn targets_of(&mut self, source: NodeId) -> &Result<Targets, Rejection> {
        let topology = &self.topology;
        self.targets.entry(source).or_insert_with(|| {
            Targets::of(topology, source).map_err(|reason| rejection_of(&reason))
        })
    }
}

fn rejection_of(reason: &NoTarget) -> Rejection {
    match reason {
        NoTarget::TopTier(_) => Rejection::TopTier,
        NoTarget::Full { .. } => Rejection::TargetFull,
        NoTarget::NotOnline(_)
        | NoTarget::NoSlowerMemory(_)
        | NoTarget::NoMemory(_)
        | NoTarget::NoTier(_)
        | NoTarget::NoFasterMemory(_) => Rejection::NoTarget,
    }
}
