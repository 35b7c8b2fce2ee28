// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Room for hot pages: cold folios of a full target go to slower memory first.
//!
//! Only when a target has no room for pages that were reported, and only as many pages as these lack. It
//! goes in steps, one after the other: a [`search`] finds folios that could go, telemetry watches these one
//! by one, and those that nobody used all that time leave at once, in a batch as hot ones do ([`batch`]).
//! Never one that was promoted of late, or that a source reported.
//!
//! A page that was promoted is known again by its owner alone, as with pages that come back. Where one
//! was promoted that nobody maps, nothing that nobody maps is demoted for as long.

use std::collections::BTreeMap;

use chmu_machine::memory::owners::Owner;
use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use self::lack::{Freed, Lack};
use self::search::Search;
use super::Engine;
use super::recent::Recent;
use crate::batch::{Folio, Route};
use crate::ledger::{Action, TelemetrySaid};
use crate::machine::{Machine, MachineError};
use crate::queue::Waiting;
use crate::report::Health;
use crate::telemetry::{Watch, Watched};

mod batch;
mod lack;
mod search;
#[cfg(test)]
mod tests;

/// A page is cold that had no access for so long: a busy host lets a program use a hot page once a second,
/// or less.
const IDLE_NS: u64 = 4_000_000_000;
/// After a search or a question in vain nobody looks again for so long.
const REST_NS: u64 = 5_000_000_000;
/// Frames that are remembered because nothing there is to go.
const FRAMES_MAX: usize = 1 << 16;

/// What is known of making room.
#[derive(Debug)]
pub(super) struct Demotion {
    /// The telemetry's name, and most frames that it watches; none where there is none.
    telemetry: Option<(String, usize)>,
    lack: Lack,
    freed: Freed,
    stage: Stage,
    rest_until_ns: u64,
    /// Where the search of each node goes on.
    hands: BTreeMap<NodeId, u64>,
    /// Frames whose pages stay, as a source reported them, they were in use when they were watched, or they
    /// could not be moved.
    spared: Recent<Pfn>,
    /// By target: until when pages that nobody maps may be ones that were promoted of late.
    unowned_until_ns: BTreeMap<NodeId, u64>,
}

/// How far it is.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// Folios are looked for.
    Searching(Search),
    /// These are being watched.
    Watching(Selection),
    /// These were idle.
    Ready(Selection),
    /// An actuator has these, in a batch of this number.
    Moving(u64, Selection),
}

/// Folios that may be demoted.
#[derive(Debug)]
struct Selection {
    route: Route,
    folios: Vec<Waiting>,
    /// Nobody used them for so long,
    idle_ns: u64,
    /// until this time at least.
    until_ns: u64,
}

impl Default for Demotion {
    fn default() -> Demotion {
        Demotion {
            telemetry: None,
            lack: Lack::default(),
            freed: Freed::default(),
            stage: Stage::Idle,
            rest_until_ns: 0,
            hands: BTreeMap::new(),
            spared: Recent::new(FRAMES_MAX),
            unowned_until_ns: BTreeMap::new(),
        }
    }
}

impl Demotion {
    /// Whether an actuator has a batch of it.
    pub(super) fn is_moving(&self) -> bool {
        matches!(self.stage, Stage::Moving(..))
    }

    /// Whether fast memory is watched.
    pub(super) fn has_telemetry(&self) -> bool {
        self.telemetry.is_some()
    }

    /// Whether the page in one of a folio's frames is to stay.
    fn is_spared(&self, folio: Folio, now_ns: u64) -> bool {
        let mut frames = (folio.head.0..folio.end().0).map(Pfn);
        frames.any(|frame| self.spared.holds(&frame, now_ns))
    }
}

impl Engine {
    /// Fast memory is watched from now on, up to so many frames at a time.
    pub fn use_telemetry(&mut self, name: &str, frames_max: usize, now_ns: u64) {
        self.demotion.telemetry = Some((name.to_owned(), frames_max.max(1)));
        self.note_telemetry(name.to_owned(), Health::Good, now_ns);
    }

    /// Nobody watches fast memory any more.
    pub fn telemetry_gone(&mut self, reason: String, now_ns: u64) {
        if !self.demotion.is_moving() {
            self.demotion.stage = Stage::Idle;
        }
        self.usefulness.clear();
        if let Some((name, _)) = self.demotion.telemetry.take() {
            self.note_telemetry(name, Health::Gone(reason), now_ns);
        }
    }

    fn note_telemetry(&mut self, name: String, health: Health, now_ns: u64) {
        self.note(now_ns, Action::Telemetry(TelemetrySaid { name, health }));
    }

    /// Whether something is being done so that a target gets room.
    pub fn is_making_room(&self) -> bool {
        !matches!(self.demotion.stage, Stage::Idle)
    }

    /// Whether a search goes on, so that [`Engine::next_watch`] is to be asked again at once.
    pub fn is_searching(&self) -> bool {
        matches!(self.demotion.stage, Stage::Searching(_))
    }

    /// What the telemetry of fast memory is to watch next; [`Engine::watched`] tells what came of it.
    ///
    /// # Errors
    /// When the machine cannot be asked.
    pub fn next_watch(
        &mut self,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<Option<Watch>, MachineError> {
        let Some((_, most)) = self.demotion.telemetry else {
            return Ok(None);
        };
        // One question at a time, and room comes first.
        if self.usefulness.is_watching() {
            return Ok(None);
        }
        let watch = self.next_candidates(most, machine, now_ns)?;
        match self.is_making_room() {
            true => Ok(watch),
            false => self.next_promotions(machine, most, now_ns),
        }
    }

    /// Folios that might make room, if some is lacking.
    fn next_candidates(
        &mut self,
        most: usize,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<Option<Watch>, MachineError> {
        if !self.policy.demote_coldest {
            return Ok(None);
        }
        let mut search = match std::mem::take(&mut self.demotion.stage) {
            Stage::Searching(search) => search,
            Stage::Idle if now_ns >= self.demotion.rest_until_ns => {
                match self.node_without_room(machine, now_ns)? {
                    Some((node, needed)) => self.search(node, needed, most),
                    None => return Ok(None),
                }
            }
            other => {
                self.demotion.stage = other;
                return Ok(None);
            }
        };
        if !self.search_on(&mut search, machine, now_ns)? {
            self.demotion.stage = Stage::Searching(search);
            return Ok(None);
        }
        // Unless some of it moves.
        self.demotion.rest_until_ns = now_ns.saturating_add(REST_NS);
        let Some(selection) = self.select(search, machine, now_ns)? else {
            return Ok(None);
        };
        let heads = selection.folios.iter().map(|waiting| waiting.folio.head);
        let watch = Watch {
            frames: heads.collect(),
            idle_ns: IDLE_NS,
        };
        self.demotion.stage = Stage::Watching(selection);
        Ok(Some(watch))
    }

    /// Telemetry tells what it saw of the frames that it was to watch; none when it saw nothing.
    ///
    /// # Errors
    /// When the machine cannot be asked.
    pub fn watched(
        &mut self,
        watched: Option<Watched>,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<(), MachineError> {
        if self.usefulness.is_watching() {
            return self.judge_promotions(watched.as_ref(), machine, now_ns);
        }
        self.demotion.stage = match (std::mem::take(&mut self.demotion.stage), watched) {
            (Stage::Watching(selection), Some(watched)) => {
                let selection = self.idle_of(selection, &watched, now_ns);
                match selection.folios.is_empty() {
                    true => Stage::Idle,
                    false => Stage::Ready(selection),
                }
            }
            (Stage::Watching(_), None) => Stage::Idle,
            // Nobody asked.
            (other, _) => other,
        };
        Ok(())
    }

    /// A source reported a frame: what is there is not cold.
    pub(super) fn note_reported(&mut self, frame: Pfn, now_ns: u64) {
        if self.demotion.telemetry.is_some() && self.routes.is_demotable(frame) {
            let until_ns = now_ns.saturating_add(self.policy.ping_pong_ns);
            self.demotion.spared.insert(frame, until_ns);
        }
    }

    /// A page was promoted of which nobody knows who maps it.
    pub(super) fn note_unowned(&mut self, target: NodeId, now_ns: u64) {
        let until_ns = now_ns.saturating_add(self.policy.ping_pong_ns);
        self.demotion.unowned_until_ns.insert(target, until_ns);
    }

    /// Whether a page of a node may have been promoted within the time in which one that comes back
    /// stays.
    fn was_promoted(&self, owner: Option<Owner>, node: NodeId, now_ns: u64) -> bool {
        match owner {
            Some(owner) => self.ping_pong.is_recent(owner, now_ns),
            None => {
                let until_ns = self.demotion.unowned_until_ns.get(&node);
                until_ns.is_some_and(|until_ns| now_ns < *until_ns)
            }
        }
    }

    /// Those that nobody used while they were watched.
    fn idle_of(&mut self, selection: Selection, watched: &Watched, now_ns: u64) -> Selection {
        let mut idle = Vec::new();
        for (place, waiting) in selection.folios.into_iter().enumerate() {
            match watched.accessed.get(place) {
                Some(false) if !self.demotion.is_spared(waiting.folio, now_ns) => {
                    idle.push(waiting);
                }
                _ => self.spare(waiting.folio, now_ns),
            }
        }
        Selection {
            folios: idle,
            idle_ns: watched.idle_ns,
            until_ns: watched.until_ns,
            ..selection
        }
    }

    /// A folio is left where it is for a while.
    fn spare(&mut self, folio: Folio, now_ns: u64) {
        let until_ns = now_ns.saturating_add(self.policy.cool_down_ns);
        self.demotion.spared.insert(folio.head, until_ns);
    }
}
