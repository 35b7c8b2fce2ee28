// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many pages lack room, and where.

use std::collections::BTreeMap;

use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use crate::batch::Folio;
use crate::engine::Engine;
use crate::machine::{Machine, MachineError};

/// Folios whose lack of room is remembered for one target.
const FOLIOS_MAX: usize = 4096;
/// Within this time processors give frames back that became free.
const GIVEN_BACK_NS: u64 = 10_000_000_000;

/// By target: folios that found no room there, their pages, and when they were last reported.
#[derive(Debug, Default)]
pub(super) struct Lack(BTreeMap<NodeId, BTreeMap<Pfn, (u64, u64)>>);

impl Lack {
    fn insert(&mut self, target: NodeId, folio: Folio, now_ns: u64) {
        let folios = self.0.entry(target).or_default();
        if folios.len() < FOLIOS_MAX || folios.contains_key(&folio.head) {
            folios.insert(folio.head, (folio.pages, now_ns));
        }
    }

    fn remove(&mut self, folio: Folio) {
        for folios in self.0.values_mut() {
            folios.remove(&folio.head);
        }
    }

    /// Pages of each folio that was reported since then.
    fn since(&mut self, target: NodeId, than_ns: u64) -> impl Iterator<Item = u64> {
        let folios = self.0.entry(target).or_default();
        folios.retain(|_, (_, last_ns)| *last_ns >= than_ns);
        folios.values().map(|(pages, _)| *pages)
    }
}

/// By node: pages that left it to make room, and when.
#[derive(Debug, Default)]
pub(super) struct Freed(BTreeMap<NodeId, Vec<(u64, u64)>>);

impl Freed {
    pub(super) fn insert(&mut self, node: NodeId, pages: u64, now_ns: u64) {
        self.0.entry(node).or_default().push((now_ns, pages));
    }

    /// Pages that left of late: their frames may be in the lists of processors.
    fn of_late(&mut self, node: NodeId, now_ns: u64) -> u64 {
        let freed = self.0.entry(node).or_default();
        freed.retain(|(left_ns, _)| now_ns < left_ns.saturating_add(GIVEN_BACK_NS));
        let pages = freed.iter().map(|(_, pages)| *pages);
        pages.fold(0, u64::saturating_add)
    }
}

impl Engine {
    /// A hot folio found no room on the node that it should go to.
    pub(in crate::engine) fn note_short(&mut self, folio: Folio, source: NodeId, now_ns: u64) {
        if self.demotion.telemetry.is_some()
            && let Some(target) = self.routes.wished_target(source)
        {
            self.demotion.lack.insert(target, folio, now_ns);
        }
    }

    /// A folio that found none may have found some.
    pub(in crate::engine) fn forget_short(&mut self, folio: Folio) {
        self.demotion.lack.remove(folio);
    }

    /// Pages that have to leave a node so that a batch of those that wait has room above its watermarks,
    /// and how many wait. Of pages that left of late nobody sees at first that they made room.
    pub(super) fn needed_pages(&mut self, node: NodeId, now_ns: u64) -> (u64, u64) {
        let than_ns = now_ns.saturating_sub(self.policy.patience_ns);
        let short: Vec<_> = self.demotion.lack.since(node, than_ns).collect();
        let largest = short.iter().copied().max().unwrap_or(1);
        let queued = self.queues.iter().filter(|(route, _)| route.target == node);
        let queued = queued.map(|(_, queue)| queue.pages());
        let wanted = short.into_iter().chain(queued).fold(0, u64::saturating_add);
        let wanted = wanted.min((self.policy.batch_folios as u64).max(largest));
        let hidden = self.demotion.freed.of_late(node, now_ns);
        let hidden = hidden.min(self.routes.kept_back_pages(node));
        let room = self.routes.room_pages(node).saturating_add(hidden);
        (wanted.saturating_sub(room), wanted)
    }

    /// A node that has no room for pages that wait, and whose own pages could go somewhere; and how many of
    /// these have to go.
    pub(super) fn node_without_room(
        &mut self,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<Option<(NodeId, u64)>, MachineError> {
        let queued = self.queues.iter().filter(|(_, queue)| queue.len() > 0);
        let mut nodes: Vec<_> = queued.map(|(route, _)| route.target).collect();
        nodes.extend(self.demotion.lack.0.keys());
        if nodes.is_empty() {
            return Ok(None);
        }
        self.routes.refresh(machine, now_ns)?;
        self.routes.refresh_headroom(machine)?;
        Ok(nodes.into_iter().find_map(|node| {
            let (needed, _) = self.needed_pages(node, now_ns);
            let is_short = needed > 0 && self.routes.demotion_target(node, needed).is_some();
            is_short.then_some((node, needed))
        }))
    }
}
