// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From reports to folios that wait.

use std::collections::BTreeMap;
use std::ops::Range;

use chmu_machine::memory::owners::Owner;
use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use super::ping_pong::Return;
use super::{Engine, LargeFolios, Mode};
use crate::aggregate::{ACCESS, Heated, Ignored, Origin, Shares, SourceId};
use crate::batch::{Folio, Route};
use crate::folio::FolioView;
use crate::ledger::{Action, Demoted, Queued, Seen, SourceSaid};
use crate::machine::{Identity, Machine, MachineError};
use crate::queue::{PromotionQueue, Pushed, Waiting};
use crate::rejection::Rejection;
use crate::report::{Health, HotExtent, Lost, Report};

/// Heat of pages that a caller names: above all that is counted.
const NAMED_HEAT: u64 = u64::MAX >> 1;

/// A folio that was reported.
#[derive(Debug)]
struct Named {
    folio: Folio,
    /// The accesses of its frames, in thousandths.
    thousandths: u64,
    /// Which of the report's frames are its.
    frames: Range<usize>,
}

impl Engine {
    /// Takes a source's report into account.
    ///
    /// # Errors
    /// When the machine cannot be asked; nothing of the report counts then.
    pub fn offer(
        &mut self,
        source: SourceId,
        report: &Report,
        health: Health,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<(), MachineError> {
        self.routes.refresh(machine, now_ns)?;
        self.settling.reported(source, report.earliest_access_ns);
        let sight = self.watch(source, report);
        let mut shares = Shares::of(report, machine, self.policy.allow_coarse_units)?;
        let mut frames = self.promotable(&mut shares, report.earliest_access_ns, now_ns);
        let doubted = self.doubt(source, &sight, &mut frames);
        if doubted > 0 {
            shares.ignore(Rejection::Tuning, doubted);
        }
        let (folios, frames) = Self::folios_of(&frames, &mut shares, machine)?;
        let all: Vec<_> = folios.iter().map(|named| named.folio).collect();
        let identities = machine.identities(&all)?;
        let mut decided = Vec::with_capacity(folios.len());
        for (named, identity) in folios.into_iter().zip(identities) {
            let (folio, frames) = (named.folio, &frames[named.frames]);
            let added = (named.thousandths, frames);
            let Some(heated) = self.aggregator.add(folio, source, added, now_ns) else {
                continue;
            };
            let owner = shares.owner(frames, folio.head);
            decided.push((folio, heated, identity, owner));
        }
        self.note_source(
            source,
            report,
            health,
            std::mem::take(&mut shares.ignored),
            now_ns,
        );
        for (folio, heated, identity, owner) in decided {
            if heated.is_new {
                self.note_seen(folio, heated, report.earliest_access_ns, now_ns);
            }
            self.consider((folio, report.accessor), heated, identity, owner, now_ns);
        }
        Ok(())
    }

    /// Notes a report that came when the run was about to end: nothing that it names is decided on.
    pub fn came_late(&mut self, source: SourceId, report: &Report, health: Health, now_ns: u64) {
        let pages = pages(&report.extents);
        let ignored = match pages {
            0 => Ignored::new(),
            _ => Ignored::from([(Rejection::RunEnded, pages)]),
        };
        self.note_source(source, report, health, ignored, now_ns);
    }

    /// Promotes these pages whatever their heat, to the node of their accessor, where that is known and
    /// legal, or to one computed from where each of them is.
    ///
    /// # Errors
    /// When the machine cannot be asked.
    pub fn promote_pagevec(
        &mut self,
        frames: &[Pfn],
        nid: Option<NodeId>,
        mode: Mode,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<(), MachineError> {
        self.routes.refresh(machine, now_ns)?;
        let view = FolioView::look(machine, frames)?;
        let mut folios: BTreeMap<Folio, Pfn> = BTreeMap::new();
        let origin = Origin::of(SourceId(0));
        for &frame in frames {
            match view.of(frame) {
                Ok(look) => {
                    folios.entry(look.folio).or_insert(frame);
                }
                Err(reason) => {
                    let alone = Folio {
                        head: frame,
                        pages: 1,
                    };
                    self.refuse((alone, origin), reason, (None, None, None), now_ns);
                }
            }
        }
        let all: Vec<_> = folios.keys().copied().collect();
        let identities = machine.identities(&all)?;
        for (folio, identity) in all.into_iter().zip(identities) {
            let route = match self.routes.route(folio, nid) {
                Ok(route) => route,
                Err(reason) => {
                    self.refuse((folio, origin), reason, (None, None, None), now_ns);
                    continue;
                }
            };
            let Some(heat) = self.half_life.heat(NAMED_HEAT, now_ns) else {
                continue;
            };
            self.push(
                route,
                Waiting {
                    folio,
                    heat,
                    origin,
                    since_ns: now_ns,
                    identity,
                    owner: None,
                    attempts: 0,
                },
                now_ns,
            );
            if mode == Mode::Now && !self.urgent.contains(&route) {
                self.urgent.push(route);
            }
        }
        Ok(())
    }

    /// A source will report nothing any more.
    pub fn source_gone(&mut self, source: SourceId, reason: String, now_ns: u64) {
        self.settling.dismiss(source);
        let report = Report {
            handed_out_ns: now_ns,
            ..Report::default()
        };
        self.note_source(
            source,
            &report,
            Health::Gone(reason),
            Ignored::new(),
            now_ns,
        );
    }

    /// The frames whose pages may be promoted, ascending, as far as their place and the report's time tell.
    fn promotable(
        &mut self,
        shares: &mut Shares,
        earliest_access_ns: u64,
        now_ns: u64,
    ) -> Vec<(Pfn, u64)> {
        let mut frames = shares.take_frames();
        frames.retain(|(frame, _)| {
            self.note_reported(*frame, now_ns);
            let reason = match self.routes.source(*frame) {
                Ok(_) if self.settling.is_void(*frame, earliest_access_ns) => {
                    Rejection::RecentlyMoved
                }
                Ok(_) => return true,
                Err(reason) => reason,
            };
            shares.ignore(reason, 1);
            false
        });
        frames
    }

    /// The folios that frames belong to, ascending as these are, and the frames that belong to one.
    fn folios_of(
        reported: &[(Pfn, u64)],
        shares: &mut Shares,
        machine: &dyn Machine,
    ) -> Result<(Vec<Named>, Vec<Pfn>), MachineError> {
        let heads: Vec<_> = reported.iter().map(|(frame, _)| *frame).collect();
        let view = FolioView::look(machine, &heads)?;
        let mut folios: Vec<Named> = Vec::new();
        let mut frames = Vec::with_capacity(reported.len());
        for &(frame, thousandths) in reported {
            let folio = match view.of(frame) {
                Ok(look) => look.folio,
                Err(rejection) => {
                    shares.ignore(rejection, 1);
                    continue;
                }
            };
            let place = frames.len();
            frames.push(frame);
            match folios.last_mut() {
                Some(named) if named.folio == folio => {
                    named.thousandths = named.thousandths.saturating_add(thousandths);
                    named.frames.end = frames.len();
                }
                _ => folios.push(Named {
                    folio,
                    thousandths,
                    frames: place..frames.len(),
                }),
            }
        }
        Ok((folios, frames))
    }

    /// Decides whether a folio that was reported, for accesses from a node where that is known, is to
    /// wait for its promotion.
    fn consider(
        &mut self,
        (folio, accessor): (Folio, Option<NodeId>),
        heated: Heated,
        identity: Option<Identity>,
        owner: Option<Owner>,
        now_ns: u64,
    ) {
        let is_cold = self.policy.minimum_heat > 0
            && self.half_life.value(heated.heat, now_ns)
                < self.policy.minimum_heat.saturating_mul(ACCESS);
        let is_sparse = match self.policy.large_folios {
            LargeFolios::Whole => false,
            LargeFolios::Dense(percent) => {
                heated.hot_pages.saturating_mul(100) < folio.pages.saturating_mul(percent.into())
            }
        };
        let is_decided = self.given_up.reason(folio, now_ns).is_some() || self.decided.holds(folio);
        if is_cold || is_sparse || is_decided {
            return;
        }
        let attempts = match self.attempts.get(&folio.head) {
            Some((known, attempts, due_ns)) if *known == folio => match *due_ns > now_ns {
                // It did not move a moment ago: it has its next chance then.
                true => return,
                false => *attempts,
            },
            _ => 0,
        };
        if self.later.holds(folio) {
            return;
        }
        let route = match self.routes.route(folio, accessor) {
            Ok(route) => route,
            Err(reason) => {
                if let (Rejection::TargetFull, Ok(source)) =
                    (reason, self.routes.source(folio.head))
                {
                    self.note_short(folio, source, now_ns);
                }
                self.wait_outside((folio, heated.origin), reason, None, now_ns);
                return;
            }
        };
        self.forget_short(folio);
        let owner = owner.or(identity.and_then(|identity| identity.owner));
        if let Some(owner) = owner.filter(|_| !self.is_queued(route, folio))
            && !self.may_go_again(owner, (folio, heated.origin), route, now_ns)
        {
            return;
        }
        let waiting = Waiting {
            folio,
            heat: heated.heat,
            origin: heated.origin,
            since_ns: now_ns,
            identity,
            owner,
            attempts,
        };
        self.push(route, waiting, now_ns);
    }

    fn is_queued(&self, route: Route, folio: Folio) -> bool {
        self.queues
            .get(&route)
            .is_some_and(|queue| queue.holds(folio))
    }

    /// Whether a page that may have been promoted before may be promoted again. One that came back is
    /// left alone until the window is over.
    fn may_go_again(
        &mut self,
        owner: Owner,
        (folio, origin): (Folio, Origin),
        route: Route,
        now_ns: u64,
    ) -> bool {
        match self.ping_pong.is_back(owner, now_ns) {
            Return::First => return true,
            Return::Before => {}
            Return::Now => {
                let demoted = Demoted {
                    node: route.target,
                    pages: folio.pages,
                    folio: Some(folio),
                    sent: None,
                };
                self.note(now_ns, Action::Demoted(demoted));
                let place = (None, Some(route), None);
                self.refuse((folio, origin), Rejection::PingPong, place, now_ns);
            }
        }
        let until_ns = now_ns.saturating_add(self.policy.ping_pong_ns);
        self.given_up.insert(folio, Rejection::PingPong, until_ns);
        false
    }

    /// The same for one that is about to move: its owner may be known only now.
    pub(super) fn may_leave(&mut self, waiting: &Waiting, route: Route, now_ns: u64) -> bool {
        let Some(owner) = waiting.owner else {
            return true;
        };
        let named = (waiting.folio, waiting.origin);
        let may = self.may_go_again(owner, named, route, now_ns);
        if !may {
            self.aggregator.forget(waiting.folio.head);
        }
        may
    }

    /// Lets a folio wait on its route, one queue for each.
    pub(super) fn push(&mut self, route: Route, waiting: Waiting, now_ns: u64) {
        // A folio may have had another target before, such as one that filled up since.
        let head = waiting.folio.head;
        let mut others = self.queues.iter_mut().filter(|(other, _)| **other != route);
        if others.any(|(other, queue)| other.source == route.source && queue.holds_head(head)) {
            return;
        }
        let waiting_max = self.policy.waiting_max;
        let (folio, heat, origin) = (waiting.folio, waiting.heat, waiting.origin);
        let queue = self.queues.entry(route);
        let queue = queue.or_insert_with(|| PromotionQueue::new(waiting_max));
        let pushed = queue.push(waiting);
        if matches!(pushed, Pushed::New | Pushed::Instead(_)) {
            let queued = Queued {
                folio,
                route,
                heat: self.half_life.value(heat, now_ns),
                origin: self.names(origin),
            };
            self.note(now_ns, Action::Queued(queued));
        }
        match pushed {
            Pushed::Known | Pushed::New => {}
            Pushed::Instead(colder) => {
                let (folio, reason) = (colder.folio, Rejection::QueueFull);
                let place = (None, Some(route), None);
                self.refuse((folio, colder.origin), reason, place, now_ns);
                let until_ns = now_ns.saturating_add(self.policy.retry_ns);
                self.given_up.insert(folio, reason, until_ns);
            }
            Pushed::Refused(colder) => {
                let named = (colder.folio, colder.origin);
                self.wait_outside(named, Rejection::QueueFull, Some(route), now_ns);
            }
        }
    }

    /// A folio does not even wait for now. As it is looked at again shortly, and as often as it takes,
    /// the reason is said once.
    fn wait_outside(
        &mut self,
        (folio, origin): (Folio, Origin),
        reason: Rejection,
        route: Option<Route>,
        now_ns: u64,
    ) {
        let until_ns = now_ns.saturating_add(self.policy.retry_ns);
        let said_until_ns = now_ns.saturating_add(self.policy.cool_down_ns);
        let times = (until_ns, said_until_ns);
        if self.given_up.wait((folio, reason), times, now_ns) {
            self.refuse((folio, origin), reason, (None, route, None), now_ns);
        }
    }

    fn note_source(
        &mut self,
        source: SourceId,
        report: &Report,
        health: Health,
        ignored: Ignored,
        now_ns: u64,
    ) {
        let is_empty = report.extents.is_empty() && report.lost == Lost::default();
        if is_empty && ignored.is_empty() && health == Health::Good {
            return;
        }
        let said = SourceSaid {
            source: self.names(Origin::of(source)).pop().unwrap_or_default(),
            handed_out_ns: report.handed_out_ns,
            earliest_access_ns: report.earliest_access_ns,
            units: units(&report.extents),
            pages: pages(&report.extents),
            lost: report.lost,
            ignored,
            health,
        };
        self.note(now_ns, Action::Source(said));
    }

    fn note_seen(&mut self, folio: Folio, heated: Heated, earliest_access_ns: u64, now_ns: u64) {
        let Ok(node) = self.routes.source(folio.head) else {
            return;
        };
        let seen = Seen {
            folio,
            node,
            heat: self.half_life.value(heated.heat, now_ns),
            origin: self.names(heated.origin),
            earliest_access_ns,
        };
        self.note(now_ns, Action::Seen(seen));
    }
}

/// Pages that the extents mean.
fn pages(extents: &[HotExtent]) -> u64 {
    let pages = extents.iter().map(|extent| extent.place.pages());
    pages.fold(0, u64::saturating_add)
}

/// Units that the extents mean: those of one unit follow one another.
fn units(extents: &[HotExtent]) -> u64 {
    let same = |one: &HotExtent, next: &HotExtent| one.unit.is_some() && one.unit == next.unit;
    extents.chunk_by(same).count() as u64
}
