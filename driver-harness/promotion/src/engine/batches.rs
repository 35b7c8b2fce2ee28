// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From folios that wait to batches.

use std::collections::BTreeMap;

use chmu_machine::memory::page_flags::PageFlags;
use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use super::{Engine, Flight};
use crate::batch::{Batch, Candidate, Direction, Fate, Folio, Route};
use crate::folio::FolioView;
use crate::ledger::{Action, BatchMade, Demoted, Tuned, TunedSetting};
use crate::machine::{Identity, Machine, MachineError};
use crate::queue::{PromotionQueue, Waiting};
use crate::rate::RateLimit;
use crate::rejection::Rejection;

/// A route without room is looked at again after so long.
const BLOCKED_NS: u64 = 250_000_000;

impl Engine {
    /// The next batch that should move, if it is time for one: the hottest of the folios that wait, as
    /// many as rate, room and the time for a turn allow. No target has two at once.
    ///
    /// Each folio is looked at once more, as a frame number is a hint: what is there may have changed.
    ///
    /// # Errors
    /// When the machine cannot be asked.
    pub fn next_batch(
        &mut self,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<Option<Batch>, MachineError> {
        self.routes.refresh(machine, now_ns)?;
        self.wake(now_ns);
        if let Some(batch) = self.demotion_batch(machine, now_ns)? {
            return Ok(Some(batch));
        }
        // Folios that turn out to be none leave their route with less, or with nothing.
        while let Some(route) = self.ready_route(now_ns) {
            self.routes.refresh_headroom(machine)?;
            self.watch_spill(route.target, machine, false, now_ns)?;
            let room = self.routes.room_pages(route.target);
            let allowed = self.allowed_pages(route.target, now_ns);
            if room == 0 {
                self.blocked
                    .insert(route, now_ns.saturating_add(BLOCKED_NS));
                continue;
            }
            if allowed == 0 {
                let spill = self.spills.get(&route.target);
                let ready_ns = spill.map_or(0, |(_, rate)| rate.ready_ns());
                let ready_ns = ready_ns.max(self.rate.ready_ns());
                self.blocked
                    .insert(route, ready_ns.max(now_ns.saturating_add(1)));
                continue;
            }
            let pages = allowed
                .min(room)
                .min(self.pace.pages_in(self.policy.turn_ns));
            let folios = self.policy.batch_folios.max(1);
            let taken = match self.queues.get_mut(&route) {
                Some(queue) => queue.take(folios, pages),
                None => Vec::new(),
            };
            if taken.is_empty() {
                continue;
            }
            if let Some(batch) = self.make_batch(route, taken, machine, now_ns)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// When there may be a batch although nothing new came; none while nothing waits.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let delay_ns = self.policy.batching_delay_ns;
        let ready = self
            .queues
            .iter()
            .filter(|(route, _)| !self.is_moving(route.target));
        let ready = ready.filter_map(|(route, queue)| {
            let ready_ns = match self.is_full(*route, queue) {
                true => queue.oldest_ns()?,
                false => queue.oldest_ns()?.saturating_add(delay_ns),
            };
            let blocked_ns = self.blocked.get(route).copied().unwrap_or(0);
            let spill_ns = self
                .spills
                .get(&route.target)
                .map_or(0, |(_, rate)| rate.ready_ns());
            Some(
                ready_ns
                    .max(blocked_ns)
                    .max(spill_ns)
                    .max(self.rate.ready_ns()),
            )
        });
        ready.chain(self.later.next_ns()).min()
    }

    /// Lets those wait whose time to be tried again has come, and refuses those that waited too long.
    fn wake(&mut self, now_ns: u64) {
        for (route, waiting) in self.later.take_due(now_ns) {
            self.push(route, waiting, now_ns);
        }
        let than_ns = now_ns.saturating_sub(self.policy.patience_ns);
        let mut stale = Vec::new();
        for (route, queue) in &mut self.queues {
            stale.extend(
                queue
                    .take_older(than_ns)
                    .into_iter()
                    .map(|waiting| (*route, waiting)),
            );
        }
        for (route, waiting) in stale {
            let place = (None, Some(route), None);
            self.refuse(
                (waiting.folio, waiting.origin),
                Rejection::Stale,
                place,
                now_ns,
            );
            self.aggregator.forget(waiting.folio.head);
        }
        self.blocked.retain(|_, until_ns| *until_ns > now_ns);
    }

    /// Looks whether targets demoted pages, those of them at which nobody looked for a while; all when
    /// the run is about to end.
    ///
    /// # Errors
    /// When the machine cannot be asked.
    pub fn look_for_demotions(
        &mut self,
        machine: &dyn Machine,
        is_last: bool,
        now_ns: u64,
    ) -> Result<(), MachineError> {
        let targets: Vec<_> = self.spills.keys().copied().collect();
        targets
            .into_iter()
            .try_for_each(|target| self.watch_spill(target, machine, is_last, now_ns))
    }

    pub(super) fn is_moving(&self, target: NodeId) -> bool {
        self.flights
            .values()
            .any(|flight| flight.route.target == target)
    }

    /// Whether a batch of the route would not grow by waiting.
    fn is_full(&self, route: Route, queue: &PromotionQueue) -> bool {
        queue.len() >= self.policy.batch_folios || self.urgent.contains(&route)
    }

    /// The route whose turn it is: the one that was asked to hurry, or else the one with the folio that
    /// waits longest.
    fn ready_route(&self, now_ns: u64) -> Option<Route> {
        let delay_ns = self.policy.batching_delay_ns;
        let ready = self.queues.iter().filter_map(|(route, queue)| {
            let oldest_ns = queue.oldest_ns()?;
            let is_due = now_ns.saturating_sub(oldest_ns) >= delay_ns;
            let is_free = !self.is_moving(route.target) && !self.blocked.contains_key(route);
            let is_ready = is_free && (is_due || self.is_full(*route, queue));
            is_ready.then_some((!self.urgent.contains(route), oldest_ns, *route))
        });
        ready.min().map(|(_, _, route)| route)
    }

    fn allowed_pages(&mut self, target: NodeId, now_ns: u64) -> u64 {
        let allowed = self.rate.allowed(now_ns);
        let spill = self.spills.get_mut(&target);
        allowed.min(spill.map_or(u64::MAX, |(_, rate)| rate.allowed(now_ns)))
    }

    /// Looks whether a target demotes what is promoted to it.
    fn watch_spill(
        &mut self,
        target: NodeId,
        machine: &dyn Machine,
        at_once: bool,
        now_ns: u64,
    ) -> Result<(), MachineError> {
        let (guard, rate) = self
            .spills
            .entry(target)
            .or_insert_with(|| (Default::default(), RateLimit::new(None)));
        if !at_once && !guard.is_due(now_ns) {
            return Ok(());
        }
        let Some(demoted_ever) = machine.demoted_pages(target)? else {
            return Ok(());
        };
        let finding = guard.look(demoted_ever, now_ns);
        if finding.change.is_some() {
            *rate = RateLimit::new(guard.rate());
        }
        if finding.demoted > 0 {
            let demoted = Demoted {
                node: target,
                pages: finding.demoted,
                folio: None,
                sent: None,
            };
            self.note(now_ns, Action::Demoted(demoted));
        }
        if let Some((from, to)) = finding.change {
            let reason = match to {
                Some(to) if from.is_some_and(|from| from < to) => {
                    format!("node {target} demotes less than is promoted to it")
                }
                Some(_) => format!("node {target} demotes what is promoted to it"),
                None => format!("node {target} demotes nothing any more"),
            };
            let tuned = Tuned {
                source: None,
                setting: TunedSetting::PagesPerSecond,
                from,
                to: to.unwrap_or(u64::MAX),
                reason,
            };
            self.note(now_ns, Action::Tuned(tuned));
        }
        Ok(())
    }

    /// Makes a batch of what can still move; none when nothing can.
    fn make_batch(
        &mut self,
        route: Route,
        taken: Vec<Waiting>,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<Option<Batch>, MachineError> {
        let mut taken = taken;
        let looks = match Looks::at(&mut taken, machine) {
            Ok(looks) => looks,
            Err(error) => {
                // They wait on: the machine may answer the next time.
                taken
                    .into_iter()
                    .for_each(|waiting| self.push(route, waiting, now_ns));
                return Err(error);
            }
        };
        let mut folios = BTreeMap::new();
        for (waiting, look) in taken.into_iter().zip(looks.0) {
            match look {
                Ok(()) => {
                    if self.may_leave(&waiting, route, now_ns) {
                        folios.insert(waiting.folio.head, waiting);
                    }
                }
                Err(Rejection::NotLru) => {
                    self.try_again((route, waiting), Fate::NotLru, None, now_ns);
                }
                Err(reason) => {
                    let place = (None, Some(route), None);
                    self.refuse((waiting.folio, waiting.origin), reason, place, now_ns);
                    self.aggregator.forget(waiting.folio.head);
                }
            }
        }
        let is_done = self.queues.get(&route).is_none_or(|queue| queue.len() == 0);
        self.urgent.retain(|urgent| *urgent != route || !is_done);
        if folios.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.depart(route, folios, now_ns)))
    }

    /// Lets folios leave for the actuator.
    fn depart(&mut self, route: Route, folios: BTreeMap<Pfn, Waiting>, now_ns: u64) -> Batch {
        self.batches += 1;
        let batch = Batch {
            number: self.batches,
            direction: Direction::Promotion,
            route,
            candidates: folios
                .values()
                .map(|waiting| Candidate {
                    folio: waiting.folio,
                    owner: waiting.owner,
                })
                .collect(),
        };
        self.rate.charge(batch.pages());
        if let Some((_, rate)) = self.spills.get_mut(&route.target) {
            rate.charge(batch.pages());
        }
        if !self.is_dry {
            for waiting in folios.values() {
                self.settling.begin(waiting.folio);
                self.watch_move(waiting.folio);
            }
        }
        let made = BatchMade {
            batch: batch.number,
            route,
            folios: folios.values().map(|waiting| waiting.folio).collect(),
            waiting: self.waiting(),
        };
        self.note(now_ns, Action::Batch(made));
        self.flights.insert(batch.number, Flight { route, folios });
        batch
    }
}

/// What folios are just before they move: the same as when they began to wait, or why they stay.
pub(super) struct Looks(pub(super) Vec<Result<(), Rejection>>);

impl Looks {
    /// Adds the owners of those of whom none is known, where the machine tells.
    pub(super) fn at(taken: &mut [Waiting], machine: &dyn Machine) -> Result<Looks, MachineError> {
        let heads: Vec<_> = taken.iter().map(|waiting| waiting.folio.head).collect();
        let mut view = FolioView::look(machine, &heads)?;
        let is_listed = |view: &FolioView, head: &Pfn| {
            view.of(*head)
                .is_ok_and(|look| look.flags.contains(PageFlags::LRU))
        };
        let hidden: Vec<_> = heads
            .iter()
            .filter(|head| !is_listed(&view, head))
            .copied()
            .collect();
        if !hidden.is_empty() {
            // Pages used for the first time wait in a list of their processor before they are found.
            machine.drain_reclaim_batches()?;
            view.look_again(machine, &hidden)?;
        }
        let folios: Vec<_> = taken.iter().map(|waiting| waiting.folio).collect();
        let identities = machine.identities(&folios)?;
        // Before owners are found, of whom it is known as of now where their pages are.
        let left = have_left(taken, machine)?;
        find_owners(taken, machine)?;
        let looks = taken.iter().zip(identities).zip(left);
        let looks = looks.map(|((waiting, identity), has_left)| {
            compare(waiting, &view, identity).and(match has_left {
                true => Err(Rejection::AnotherPage),
                false => Ok(()),
            })
        });
        Ok(Looks(looks.collect()))
    }
}

/// Looks for the owners of those of whom none is known.
fn find_owners(taken: &mut [Waiting], machine: &dyn Machine) -> Result<(), MachineError> {
    let unknown = |waiting: &&mut Waiting| waiting.owner.is_none();
    let mut unknown: Vec<_> = taken.iter_mut().filter(unknown).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let folios: Vec<_> = unknown.iter().map(|waiting| waiting.folio).collect();
    for (waiting, owner) in unknown.iter_mut().zip(machine.owners(&folios)?) {
        waiting.owner = owner;
    }
    Ok(())
}

/// Whether the processes that had the folios have another page, or none, at their addresses by now;
/// each process is asked once.
fn have_left(taken: &[Waiting], machine: &dyn Machine) -> Result<Vec<bool>, MachineError> {
    let mut processes: BTreeMap<u32, (Vec<usize>, Vec<u64>)> = BTreeMap::new();
    for (place, waiting) in taken.iter().enumerate() {
        if let Some(owner) = waiting.owner {
            let (places, addresses) = processes.entry(owner.process_id).or_default();
            places.push(place);
            addresses.push(owner.address);
        }
    }
    let mut left = vec![false; taken.len()];
    for (process_id, (places, addresses)) in processes {
        let frames = machine.resolve_each(process_id, &addresses)?;
        for (place, frame) in places.into_iter().zip(frames) {
            let folio = taken[place].folio;
            left[place] = match frame {
                Some(frame) => frame != folio.head,
                // Of a large folio it may have unmapped a part.
                None => folio.pages == 1,
            };
        }
    }
    Ok(left)
}

fn compare(
    waiting: &Waiting,
    view: &FolioView,
    identity: Option<Identity>,
) -> Result<(), Rejection> {
    let look = view.of(waiting.folio.head)?;
    let Folio { head, pages } = look.folio;
    let is_same = match (waiting.identity, identity) {
        (Some(before), Some(now)) => before.may_be(&now),
        _ => true,
    };
    if (head, pages) != (waiting.folio.head, waiting.folio.pages) || !is_same {
        Err(Rejection::AnotherPage)
    } else if look.flags.contains(PageFlags::LRU) {
        Ok(())
    } else {
        Err(Rejection::NotLru)
    }
}
