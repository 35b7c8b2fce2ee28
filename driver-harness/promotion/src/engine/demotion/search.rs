// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which folios of a node might make room: a hand goes round its frames, so that a page is watched again
//! only after all the others.
//!
//! Much of a node cannot be demoted, such as memory of the kernel and free frames, and is passed over.

use std::collections::BTreeMap;

use chmu_machine::memory::page_flags::PageFlags;
use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use super::Selection;
use crate::aggregate::Origin;
use crate::batch::{Folio, Route};
use crate::engine::Engine;
use crate::folio::{FOLIO_PAGES_MAX, FolioView, Look};
use crate::machine::{Machine, MachineError};
use crate::queue::Waiting;

/// Frames that are looked at in one turn, so that promotion does not wait for a large node.
const TURN: u64 = 1 << 16;
/// Beyond the pages that are needed one of so many is watched, as some will be in use;
const SPARE_PART: u64 = 4;
/// and so many more.
const SPARE_MIN: u64 = 16;

/// A search that goes on.
#[derive(Debug)]
pub(super) struct Search {
    node: NodeId,
    /// Pages that have to leave the node.
    needed: u64,
    /// Pages that are to be watched, and most folios.
    wished: u64,
    most: usize,
    found: BTreeMap<Pfn, Folio>,
    pages: u64,
    /// Frames until the hand is where it began.
    left: u64,
}

impl Search {
    fn has_enough(&self) -> bool {
        self.pages >= self.wished || self.found.len() >= self.most
    }

    /// Whether a folio touches one that was found: telemetry could not tell them apart.
    fn is_beside(&self, folio: Folio) -> bool {
        let before = self.found.range(..=folio.head).next_back();
        before.is_some_and(|(_, before)| before.end() >= folio.head)
            || self.found.contains_key(&folio.end())
    }
}

impl Engine {
    /// Begins a search.
    pub(super) fn search(&self, node: NodeId, needed: u64, most: usize) -> Search {
        let memory = self.routes.memory_of(node);
        let frames = memory.iter().map(|range| range.end - range.start);
        Search {
            node,
            needed,
            wished: needed
                .saturating_add(needed / SPARE_PART)
                .saturating_add(SPARE_MIN),
            most,
            found: BTreeMap::new(),
            pages: 0,
            left: frames.sum(),
        }
    }

    /// Makes a turn. Returns whether the search is over: enough was found, or the hand went round.
    pub(super) fn search_on(
        &mut self,
        search: &mut Search,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<bool, MachineError> {
        let memory = self.routes.memory_of(search.node);
        let mut hand = self.demotion.hands.get(&search.node).copied().unwrap_or(0);
        let mut turn = TURN.min(search.left);
        while turn > 0 && !search.has_enough() {
            let range = memory.iter().find(|range| hand < range.end);
            let Some(range) = range.or(memory.first()) else {
                break;
            };
            let start = if range.contains(&hand) {
                hand
            } else {
                range.start
            };
            let block_end = (start / FOLIO_PAGES_MAX + 1).saturating_mul(FOLIO_PAGES_MAX);
            let end = block_end.min(range.end);
            hand = self.look_at(start..end, search, machine, now_ns)?;
            let passed = hand.saturating_sub(start).max(1);
            turn = turn.saturating_sub(passed);
            search.left = search.left.saturating_sub(passed);
        }
        self.demotion.hands.insert(search.node, hand);
        Ok(search.has_enough() || search.left == 0 || memory.is_empty())
    }

    /// Looks at frames of one block, until there is enough. Returns the first frame that was not looked at.
    fn look_at(
        &self,
        frames: std::ops::Range<u64>,
        search: &mut Search,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<u64, MachineError> {
        let flags = machine.flags(frames.clone())?;
        let listed = frames.clone().zip(flags);
        let listed = listed.filter(|(_, flags)| flags.contains(PageFlags::LRU));
        let listed: Vec<_> = listed.map(|(frame, _)| Pfn(frame)).collect();
        let view = FolioView::look(machine, &listed)?;
        for frame in listed {
            let Ok(Look { folio, flags }) = view.of(frame) else {
                continue;
            };
            let may_go = folio.head == frame
                && folio.pages <= search.needed
                && flags.contains(PageFlags::LRU)
                && !flags.contains(PageFlags::UNEVICTABLE)
                && !search.is_beside(folio)
                && !self.demotion.is_spared(folio, now_ns);
            if may_go {
                search.pages = search.pages.saturating_add(folio.pages);
                search.found.insert(folio.head, folio);
                if search.has_enough() {
                    return Ok(frame.0.saturating_add(1));
                }
            }
        }
        Ok(frames.end)
    }

    /// Of what was found, what may go; none when nothing may.
    pub(super) fn select(
        &mut self,
        search: Search,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<Option<Selection>, MachineError> {
        let source = search.node;
        self.routes.refresh_headroom(machine)?;
        let target = self.routes.demotion_target(source, search.needed);
        let (Some(target), Some(heat)) = (target, self.half_life.heat(1, now_ns)) else {
            return Ok(None);
        };
        let folios: Vec<_> = search.found.into_values().collect();
        let identities = machine.identities(&folios)?;
        let owners = machine.owners(&folios)?;
        let mut selected = Vec::new();
        for ((folio, identity), owner) in folios.into_iter().zip(identities).zip(owners) {
            let owner = owner.or(identity.and_then(|identity| identity.owner));
            if !self.was_promoted(owner, source, now_ns) {
                selected.push(Waiting {
                    folio,
                    heat,
                    origin: Origin::default(),
                    since_ns: now_ns,
                    identity,
                    owner,
                    attempts: 0,
                });
            }
        }
        Ok((!selected.is_empty()).then_some(Selection {
            route: Route { source, target },
            folios: selected,
            idle_ns: 0,
            until_ns: 0,
        }))
    }
}
