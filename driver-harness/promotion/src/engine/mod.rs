// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The core that decides: pure, so that the same reports lead to the same decisions.
//!
//! It has no thread, no clock and no file: time, machine and chance come from outside. Whoever runs it
//! hands in what sources report ([`Engine::offer`]) and the frames that callers name
//! ([`Engine::promote_pagevec`]), takes batches out ([`Engine::next_batch`]), has an actuator move them,
//! and says what became of each folio ([`Engine::completed`]). Everything that it decides is an event of
//! the ledger ([`Engine::drain_ledger`]).

use std::collections::BTreeMap;

use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use crate::aggregate::{Aggregator, HalfLife, Origin, SourceId};
use crate::batch::{Folio, Route};
use crate::ledger::{Action, Begin, Demoted, Event, Refused, Totals};
use crate::queue::{PromotionQueue, Waiting};
use crate::rate::RateLimit;
use crate::rejection::Rejection;
use crate::report::{Facts, SourceKind, Tuning};
use crate::settle::Settling;
use demotion::Demotion;
use frame_set::FrameSet;
use given_up::GivenUp;
use later::Later;
use pace::Pace;
use ping_pong::PingPong;
use routes::Routes;
use spill::SpillGuard;
use tuning::Watch;
use usefulness::Usefulness;

mod batches;
mod demotion;
mod frame_set;
mod given_up;
mod later;
mod offer;
mod outcomes;
mod pace;
mod ping_pong;
mod policy;
mod recent;
mod routes;
mod sightings;
mod spill;
#[cfg(test)]
mod tests;
pub mod tuner;
mod tuning;
mod usefulness;

pub use policy::{Destination, LargeFolios, Policy};

/// When a vector of pages is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With the next batch, which is not delayed for others: synchronous context.
    Now,
    /// When it is worth a batch, among others by their heat: deferred mode.
    Defer,
}

/// How much promotion has to do on the way to one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Pages that wait.
    pub pages: u64,
    /// How long the one waits that waits longest.
    pub age_ns: u64,
}

/// A batch that an actuator has.
#[derive(Debug)]
struct Flight {
    route: Route,
    folios: BTreeMap<Pfn, Waiting>,
}

/// The core that decides.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    half_life: HalfLife,
    seed: u64,
    is_dry: bool,
    names: Vec<String>,
    /// Sources that name each page once, and never again.
    lists: Vec<SourceId>,
    aggregator: Aggregator,
    settling: Settling,
    routes: Routes,
    queues: BTreeMap<Route, PromotionQueue>,
    /// Routes whose next batch is not delayed.
    urgent: Vec<Route>,
    /// Routes that had no room, until when nobody looks again.
    blocked: BTreeMap<Route, u64>,
    later: Later,
    /// Attempts for folios that are only tried again when they are reported again.
    attempts: BTreeMap<Pfn, (Folio, u32, u64)>,
    given_up: GivenUp,
    /// Pages that a dry run would have moved: each once.
    decided: FrameSet,
    /// There are more than it remembers.
    forgets: bool,
    flights: BTreeMap<u64, Flight>,
    batches: u64,
    rate: RateLimit,
    pace: Pace,
    ping_pong: PingPong,
    demotion: Demotion,
    usefulness: Usefulness,
    spills: BTreeMap<NodeId, (SpillGuard, RateLimit)>,
    watches: BTreeMap<SourceId, Watch>,
    wishes: Vec<(SourceId, Tuning)>,
    events: Vec<Event>,
    last_event_ns: u64,
    totals: Totals,
}

impl Engine {
    /// An engine without work. What is left to chance, such as whose turn it is among equal targets,
    /// depends on `seed`.
    pub fn new(policy: Policy, seed: u64) -> Engine {
        let half_life = HalfLife::of_ns(policy.half_life_ns);
        Engine {
            half_life,
            seed,
            is_dry: false,
            names: Vec::new(),
            lists: Vec::new(),
            aggregator: Aggregator::new(half_life),
            settling: Settling::default(),
            routes: Routes::new(policy.destination, seed),
            queues: BTreeMap::new(),
            urgent: Vec::new(),
            blocked: BTreeMap::new(),
            later: Later::default(),
            attempts: BTreeMap::new(),
            given_up: GivenUp::default(),
            decided: FrameSet::default(),
            forgets: false,
            flights: BTreeMap::new(),
            batches: 0,
            rate: RateLimit::new(policy.pages_per_second),
            pace: Pace::default(),
            ping_pong: PingPong::new(policy.ping_pong_ns),
            demotion: Demotion::default(),
            usefulness: Usefulness::default(),
            spills: BTreeMap::new(),
            watches: BTreeMap::new(),
            wishes: Vec::new(),
            events: Vec::new(),
            last_event_ns: 0,
            totals: Totals::default(),
            policy,
        }
    }

    /// The run begins, with these sources, which later calls name by their place, and this actuator.
    /// In a dry run nothing is moved, and each folio is decided on once.
    pub fn begin(&mut self, sources: Vec<Facts>, actuator: &str, is_dry: bool, now_ns: u64) {
        self.is_dry = is_dry;
        self.names = sources.iter().map(|facts| facts.name.clone()).collect();
        for (number, facts) in (0..).zip(&sources) {
            self.settling.expect(SourceId(number));
            if facts.kind == SourceKind::List {
                self.lists.push(SourceId(number));
            }
        }
        let begin = Begin {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            sources,
            actuator: actuator.to_owned(),
            dry_run: is_dry,
            seed: self.seed,
            policy: self.policy.settings(),
        };
        self.note(now_ns, Action::Begin(begin));
    }

    /// The run is over: the last event tells the sums.
    pub fn end(&mut self, now_ns: u64) {
        // An actuator that did not come back does not tell what moved.
        for (batch, flight) in std::mem::take(&mut self.flights) {
            for (_, waiting) in flight.folios {
                let place = (Some(batch), Some(flight.route), None);
                self.refuse(
                    (waiting.folio, waiting.origin),
                    Rejection::Unheard,
                    place,
                    now_ns,
                );
            }
        }
        self.end_demotion(now_ns);
        // What was to be tried again when it is reported again will not be.
        for (_, (folio, ..)) in std::mem::take(&mut self.attempts) {
            let place = (None, None, None);
            self.refuse((folio, Origin::default()), Rejection::Stayed, place, now_ns);
        }
        self.totals.waiting = self.waiting();
        let totals = self.totals.clone();
        self.note(now_ns, Action::End(totals));
    }

    /// Hands out the events since the last call, oldest first.
    pub fn drain_ledger(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Folios that wait, those that are to be tried again included.
    pub fn waiting(&self) -> u64 {
        let queued: usize = self.queues.values().map(PromotionQueue::len).sum();
        (queued + self.later.len()) as u64
    }

    /// Batches that an actuator has.
    pub fn batches_moving(&self) -> usize {
        self.flights.len() + usize::from(self.demotion.is_moving())
    }

    /// How much there is to do for each target.
    pub fn pressure(&self, now_ns: u64) -> BTreeMap<NodeId, Pressure> {
        let mut pressures: BTreeMap<NodeId, Pressure> = BTreeMap::new();
        for (route, queue) in self.queues.iter().filter(|(_, queue)| queue.len() > 0) {
            let age_ns = queue
                .oldest_ns()
                .map_or(0, |oldest_ns| now_ns.saturating_sub(oldest_ns));
            let pressure = pressures.entry(route.target).or_default();
            pressure.pages = pressure.pages.saturating_add(queue.pages());
            pressure.age_ns = pressure.age_ns.max(age_ns);
        }
        pressures
    }

    /// Names of the sources that reported something.
    fn names(&self, origin: Origin) -> Vec<String> {
        let place = |source: SourceId| usize::try_from(source.0).unwrap_or(usize::MAX);
        let names = origin
            .sources()
            .filter_map(|source| self.names.get(place(source)));
        names.cloned().collect()
    }

    /// Adds an event, and counts it. Time never goes back in a ledger.
    fn note(&mut self, now_ns: u64, action: Action) {
        self.last_event_ns = self.last_event_ns.max(now_ns);
        match &action {
            Action::Source(said) => {
                self.totals.units_reported += said.units;
                self.totals.reports_with_overflow += u64::from(said.lost.overflow);
            }
            Action::Batch(_) => self.totals.batches += 1,
            Action::Moved(moved) => {
                self.totals.folios_moved += 1;
                self.totals.pages_moved += moved.folio.pages;
            }
            Action::Refused(_) => self.totals.refused += 1,
            Action::Retried(_) => self.totals.retried += 1,
            Action::Demotion(_) => self.totals.demotions += 1,
            Action::Demoted(Demoted {
                sent: Some(_),
                pages,
                ..
            }) => {
                self.totals.folios_demoted += 1;
                self.totals.pages_demoted += pages;
            }
            Action::Kept(_) => self.totals.kept += 1,
            Action::Telemetry(_) => drop(self.totals.usefulness.get_or_insert_default()),
            Action::Judged(judged) => self.totals.usefulness.get_or_insert_default().add(judged),
            _ => {}
        }
        self.totals.lines += 1;
        self.events.push(Event::new(self.last_event_ns, action));
    }

    /// Notes that a folio is not promoted.
    fn refuse(
        &mut self,
        (folio, origin): (Folio, Origin),
        reason: Rejection,
        (batch, route, errno): (Option<u64>, Option<Route>, Option<i32>),
        now_ns: u64,
    ) {
        let refused = Refused {
            folio,
            reason,
            errno,
            batch,
            route,
            origin: self.names(origin),
        };
        self.note(now_ns, Action::Refused(refused));
    }
}
