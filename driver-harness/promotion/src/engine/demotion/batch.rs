// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Batches that make room.

use super::{Selection, Stage};
use crate::batch::{Batch, Candidate, Direction, Fate, Folio, Route};
use crate::engine::Engine;
use crate::engine::batches::Looks;
use crate::ledger::{Action, Demoted, DemotionMade, Kept, Sent};
use crate::machine::{Machine, MachineError};
use crate::queue::Waiting;
use crate::rejection::Rejection;

impl Engine {
    /// The batch that makes room, if there is one: as many folios as are needed now, each looked at once
    /// more. What was idle leaves at the first opportunity, or not at all.
    pub(in crate::engine) fn demotion_batch(
        &mut self,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<Option<Batch>, MachineError> {
        let selection = match std::mem::take(&mut self.demotion.stage) {
            Stage::Ready(selection) => selection,
            other => {
                self.demotion.stage = other;
                return Ok(None);
            }
        };
        if self.is_moving(selection.route.target) {
            return Ok(None);
        }
        self.routes.refresh_headroom(machine)?;
        let node = selection.route.source;
        let (needed, wanted) = self.needed_pages(node, now_ns);
        let mut taken = selection.folios;
        let looks = Looks::at(&mut taken, machine)?;
        let (mut folios, mut pages) = (Vec::new(), 0);
        for (waiting, look) in taken.into_iter().zip(looks.0) {
            let fits = pages + waiting.folio.pages <= needed;
            if look.is_ok() && fits && !self.was_promoted(waiting.owner, node, now_ns) {
                pages += waiting.folio.pages;
                folios.push(waiting);
            }
        }
        if folios.is_empty() {
            return Ok(None);
        }
        let selection = Selection {
            folios,
            ..selection
        };
        Ok(Some(self.send_down(selection, wanted, now_ns)))
    }

    /// Lets folios leave for the actuator.
    fn send_down(&mut self, selection: Selection, wanted_pages: u64, now_ns: u64) -> Batch {
        self.batches += 1;
        let Selection { route, folios, .. } = &selection;
        for waiting in folios {
            self.settling.begin(waiting.folio);
        }
        let candidate = |waiting: &Waiting| Candidate {
            folio: waiting.folio,
            owner: waiting.owner,
        };
        let batch = Batch {
            number: self.batches,
            direction: Direction::Demotion,
            route: *route,
            candidates: folios.iter().map(candidate).collect(),
        };
        let made = DemotionMade {
            batch: batch.number,
            route: *route,
            folios: folios.iter().map(|waiting| waiting.folio).collect(),
            wanted_pages,
            room_pages: self.routes.room_pages(route.source),
            idle_ns: selection.idle_ns,
            idle_until_ns: selection.until_ns,
        };
        self.note(now_ns, Action::Demotion(made));
        self.demotion.stage = Stage::Moving(batch.number, selection);
        batch
    }

    /// An actuator is done with a batch that makes room.
    pub(in crate::engine) fn sent_down(
        &mut self,
        batch: &Batch,
        fates: &[Fate],
        times_ns: (u64, u64),
    ) {
        let stage = std::mem::take(&mut self.demotion.stage);
        let Stage::Moving(number, selection) = stage else {
            self.demotion.stage = stage;
            return;
        };
        if number != batch.number {
            self.demotion.stage = Stage::Moving(number, selection);
            return;
        }
        let (started_ns, ended_ns) = times_ns;
        let fates = fates.iter().copied().chain(std::iter::repeat(Fate::Stayed));
        let mut freed = 0_u64;
        for (waiting, fate) in selection.folios.iter().zip(fates) {
            let folio = waiting.folio;
            self.settling.end(folio, ended_ns);
            let Fate::Moved { node } = fate else {
                let reason = Rejection::of_fate(fate).unwrap_or(Rejection::Stayed);
                self.keep((folio, selection.route), batch.number, reason, ended_ns);
                continue;
            };
            freed = freed.saturating_add(folio.pages);
            let sent = Sent {
                batch: batch.number,
                route: Route {
                    target: node,
                    ..selection.route
                },
                owner: waiting.owner,
                idle_ns: selection.idle_ns,
                started_ns,
                ended_ns,
            };
            let demoted = Demoted {
                node: selection.route.source,
                pages: folio.pages,
                folio: Some(folio),
                sent: Some(sent),
            };
            self.note(ended_ns, Action::Demoted(demoted));
        }
        if freed > 0 {
            let node = selection.route.source;
            self.demotion.freed.insert(node, freed, ended_ns);
            self.demotion.rest_until_ns = ended_ns;
            self.blocked.retain(|route, _| route.target != node);
        }
    }

    /// A folio that was to make room stays.
    fn keep(&mut self, (folio, route): (Folio, Route), batch: u64, reason: Rejection, now_ns: u64) {
        self.spare(folio, now_ns);
        let kept = Kept {
            batch,
            folio,
            route,
            reason,
        };
        self.note(now_ns, Action::Kept(kept));
    }

    /// The run ends, and nobody knows what became of what an actuator has.
    pub(in crate::engine) fn end_demotion(&mut self, now_ns: u64) {
        if let Stage::Moving(batch, selection) = std::mem::take(&mut self.demotion.stage) {
            for waiting in &selection.folios {
                let place = (waiting.folio, selection.route);
                self.keep(place, batch, Rejection::Unheard, now_ns);
            }
        }
    }
}
