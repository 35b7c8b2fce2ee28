// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What became of batches.

use super::Engine;
use crate::batch::{Batch, Direction, Fate, Route};
use crate::ledger::{Action, Moved, Retried};
use crate::queue::Waiting;
use crate::rejection::Rejection;

/// Attempts to move a folio.
const ATTEMPTS_MAX: u32 = 3;
/// Between two attempts goes so many times the time that went before.
const BACK_OFF: u64 = 4;
/// Attempts of folios that are remembered.
const REMEMBERED_MAX: usize = 1 << 16;

impl Engine {
    /// An actuator is done with a batch. `fates` are those of its candidates, in their order; one that
    /// is missing, as after a failure of the actuator, is taken for [`Fate::Stayed`].
    pub fn completed(&mut self, batch: &Batch, fates: &[Fate], started_ns: u64, ended_ns: u64) {
        if batch.direction == Direction::Demotion {
            self.sent_down(batch, fates, (started_ns, ended_ns));
            return;
        }
        let Some(mut flight) = self.flights.remove(&batch.number) else {
            return;
        };
        self.pace
            .measured(batch.pages(), ended_ns.saturating_sub(started_ns));
        let fates = fates.iter().copied().chain(std::iter::repeat(Fate::Stayed));
        for (candidate, fate) in batch.candidates.iter().zip(fates) {
            let Some(waiting) = flight.folios.remove(&candidate.folio.head) else {
                continue;
            };
            if !self.is_dry {
                // Whatever is said of it: nothing that was reported before now is of use any more.
                self.settling.end(candidate.folio, ended_ns);
            }
            let arrival = (batch.number, flight.route, started_ns, ended_ns);
            match fate {
                Fate::Moved { node } => {
                    let target = node;
                    let route = Route {
                        target,
                        ..flight.route
                    };
                    self.arrived(waiting, (batch.number, route, started_ns, ended_ns));
                }
                Fate::WouldMove => self.arrived(waiting, arrival),
                Fate::Busy | Fate::NotLru | Fate::TargetFull | Fate::Stayed => {
                    self.try_again((flight.route, waiting), fate, Some(batch.number), ended_ns);
                }
                Fate::AlreadyThere
                | Fate::Pinned
                | Fate::Gone
                | Fate::Unseen
                | Fate::CpusetForbids
                | Fate::Unmapped
                | Fate::Hugetlb
                | Fate::Refused { .. } => {
                    self.give_up((flight.route, waiting), fate, Some(batch.number), ended_ns);
                }
            }
        }
    }

    /// A folio is on its target, or would be.
    fn arrived(&mut self, waiting: Waiting, arrival: (u64, Route, u64, u64)) {
        let (batch, route, started_ns, ended_ns) = arrival;
        let moved = Moved {
            batch,
            folio: waiting.folio,
            route,
            heat: self.half_life.value(waiting.heat, ended_ns),
            origin: self.names(waiting.origin),
            started_ns,
            ended_ns,
        };
        self.note(ended_ns, Action::Moved(moved));
        self.aggregator.forget(waiting.folio.head);
        self.attempts.remove(&waiting.folio.head);
        if self.is_dry {
            // It is decided once what would become of it.
            if !self.decided.insert(waiting.folio) && !self.forgets {
                self.forgets = true;
                log::warn!(
                    "The pages that would have been promoted are too scattered to remember more of them; \
                     further ones count again with each report"
                );
            }
            return;
        }
        if let Some((guard, _)) = self.spills.get_mut(&route.target) {
            guard.promoted(waiting.folio.pages);
        }
        match waiting.owner {
            Some(owner) => {
                self.ping_pong.promoted(owner, ended_ns);
                if self.demotion.has_telemetry() {
                    let (node, pages) = (route.target, waiting.folio.pages);
                    self.usefulness.arrived(owner, node, pages, ended_ns);
                }
            }
            None => self.note_unowned(route.target, ended_ns),
        }
    }

    /// A folio did not move, and may the next time; after some times it is given up.
    ///
    /// What an actuator does not explain may be that the page did leave and another is there by now. So
    /// unless the machine can tell pages apart, such a folio is only tried again when it is reported
    /// again, by a report that counts nothing from before. Frames that a user listed are not reported
    /// again: whatever is there by then is what was listed, as far as the machine can tell.
    pub(super) fn try_again(
        &mut self,
        (route, mut waiting): (Route, Waiting),
        fate: Fate,
        batch: Option<u64>,
        now_ns: u64,
    ) {
        waiting.attempts += 1;
        if waiting.attempts >= ATTEMPTS_MAX {
            self.give_up((route, waiting), fate, batch, now_ns);
            return;
        }
        let wait_ns = self
            .policy
            .retry_ns
            .saturating_mul(BACK_OFF.pow(waiting.attempts - 1));
        let due_ns = now_ns.saturating_add(wait_ns);
        if let (Some(reason), Some(batch)) = (Rejection::of_fate(fate), batch) {
            let retried = Retried {
                folio: waiting.folio,
                reason,
                batch,
                attempts: waiting.attempts,
                due_ns,
            };
            self.note(now_ns, Action::Retried(retried));
        }
        let can_tell = waiting
            .identity
            .is_some_and(|identity| identity.owner.is_some());
        let mut sources = waiting.origin.sources();
        let is_listed = sources.any(|source| self.lists.contains(&source));
        if fate == Fate::Stayed && !can_tell && !is_listed {
            while self.attempts.len() >= REMEMBERED_MAX {
                self.attempts.pop_first();
            }
            let attempt = (waiting.folio, waiting.attempts, due_ns);
            self.attempts.insert(waiting.folio.head, attempt);
        } else {
            self.later.insert(due_ns, route, waiting);
        }
    }

    /// A folio stays where it is, which is said once.
    fn give_up(
        &mut self,
        (route, waiting): (Route, Waiting),
        fate: Fate,
        batch: Option<u64>,
        now_ns: u64,
    ) {
        let Some(reason) = Rejection::of_fate(fate) else {
            return;
        };
        let errno = match fate {
            Fate::Refused { errno } => Some(errno),
            _ => None,
        };
        let folio = waiting.folio;
        self.refuse(
            (folio, waiting.origin),
            reason,
            (batch, Some(route), errno),
            now_ns,
        );
        self.aggregator.forget(folio.head);
        self.attempts.remove(&folio.head);
        // Another page may be hot in the same frame the next moment.
        if !matches!(fate, Fate::Gone | Fate::Unseen | Fate::AlreadyThere) {
            let until_ns = now_ns.saturating_add(self.policy.cool_down_ns);
            self.given_up.insert(folio, reason, until_ns);
        }
    }
}
