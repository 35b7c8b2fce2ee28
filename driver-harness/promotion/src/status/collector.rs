// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From events to a status.

use std::collections::BTreeMap;

use chmu_machine::node::NodeId;

use super::backlog::Backlog;
use super::decisions::Decisions;
use super::rate::Counter;
use super::{
    Decided, Demotions, RoomMade, RouteStatus, SourceStatus, Status, TelemetryStatus, TunedStatus,
    VERSION,
};
use crate::batch::Route;
use crate::ledger::{
    Action, BatchMade, Begin, Demoted, Event, Judged, Moved, Refused, Retried, SourceSaid, Tuned,
    TunedSetting,
};
use crate::rejection::Rejection;
use crate::report::{Facts, Health};

/// Routes and nodes that are told apart; a machine has fewer.
const PLACES_MAX: usize = 1024;
/// Settings that are told apart: a few for each source.
const TUNED_MAX: usize = 256;

/// Takes a run's events in their order. What it remembers is bounded, however long the run is.
#[derive(Debug, Clone, Default)]
pub struct Collector {
    program: Option<String>,
    started_ns: u64,
    time_ns: u64,
    has_ended: bool,
    actuator: String,
    dry_run: bool,
    sources: Vec<Source>,
    backlog: Backlog,
    routes: BTreeMap<Route, Progress>,
    demotions: BTreeMap<NodeId, Counter>,
    room_made: BTreeMap<Route, Progress>,
    folios_kept: u64,
    telemetry: Option<TelemetryStatus>,
    usefulness: Option<Judged>,
    refused: BTreeMap<Rejection, Counter>,
    ignored: BTreeMap<Rejection, u64>,
    batches: u64,
    retries: u64,
    pages_came_back: u64,
    tuned: BTreeMap<(Option<String>, TunedSetting), u64>,
    decisions: Decisions,
}

/// What one route has seen.
#[derive(Debug, Clone, Default)]
struct Progress {
    folios: u64,
    pages: Counter,
}

#[derive(Debug, Clone)]
struct Source {
    facts: Facts,
    health: Health,
    reports: u64,
    units: Counter,
    last_units: u64,
    most_units: u64,
    overflows: u64,
    units_dropped: u64,
    outside_memory: u64,
}

impl Collector {
    /// Takes an event into account.
    pub fn note(&mut self, event: &Event) {
        let now_ns = event.time_ns.max(self.time_ns);
        self.time_ns = now_ns;
        match &event.action {
            Action::Begin(begin) => self.begun(begin, now_ns),
            Action::Source(said) => self.reported(said, now_ns),
            Action::Seen(_) => {}
            Action::Queued(queued) => self.backlog.queued(queued.folio, queued.route, now_ns),
            Action::Batch(made) => self.handed_over(made),
            Action::Moved(moved) => self.moved(moved, now_ns),
            Action::Refused(refused) => self.refused(refused, now_ns),
            Action::Retried(retried) => self.retried(retried, now_ns),
            Action::Demoted(demoted) => self.demoted(demoted, now_ns),
            Action::Demotion(_) => {}
            Action::Kept(_) => add(&mut self.folios_kept, 1),
            Action::Wasted(_) => {}
            Action::Judged(judged) => self.usefulness.get_or_insert_default().add(judged),
            Action::Telemetry(said) => {
                self.usefulness.get_or_insert_default();
                self.telemetry = Some(TelemetryStatus {
                    name: said.name.clone(),
                    health: said.health.clone(),
                });
            }
            Action::Tuned(tuned) => self.tuned(tuned, now_ns),
            Action::End(_) => {
                self.has_ended = true;
                self.backlog.clear();
                self.decisions.push(now_ns, Decided::Ended);
            }
        }
    }

    /// When the latest event was.
    pub fn time_ns(&self) -> u64 {
        self.time_ns
    }

    fn begun(&mut self, begin: &Begin, now_ns: u64) {
        *self = Collector {
            program: Some(begin.program.clone()),
            started_ns: now_ns,
            time_ns: now_ns,
            actuator: begin.actuator.clone(),
            dry_run: begin.dry_run,
            sources: begin.sources.iter().map(Source::new).collect(),
            ..Collector::default()
        };
    }

    fn reported(&mut self, said: &SourceSaid, now_ns: u64) {
        for (&reason, &pages) in &said.ignored {
            add(self.ignored.entry(reason).or_default(), pages);
        }
        let mut sources = self.sources.iter_mut();
        let Some(source) = sources.find(|source| source.facts.name == said.source) else {
            return;
        };
        if source.health != said.health {
            source.health.clone_from(&said.health);
            let what = Decided::Health {
                source: said.source.clone(),
                health: said.health.clone(),
            };
            self.decisions.push(now_ns, what);
        }
        if said.units > 0 || said.lost.overflow {
            add(&mut source.reports, 1);
            source.last_units = said.units;
            source.most_units = source.most_units.max(said.units);
        }
        source.units.add(said.units, now_ns);
        add(&mut source.overflows, said.lost.overflow.into());
        add(&mut source.units_dropped, said.lost.units_dropped);
        add(&mut source.outside_memory, said.lost.outside_memory);
    }

    fn handed_over(&mut self, made: &BatchMade) {
        add(&mut self.batches, 1);
        self.backlog
            .handed_over(made.batch, made.route, &made.folios);
    }

    fn moved(&mut self, moved: &Moved, now_ns: u64) {
        self.backlog.done(moved.batch, moved.folio);
        if let Some(progress) = known(&mut self.routes, moved.route) {
            add(&mut progress.folios, 1);
            progress.pages.add(moved.folio.pages, now_ns);
        }
        let what = Decided::Moved {
            route: moved.route,
            batch: moved.batch,
            folios: 1,
            pages: moved.folio.pages,
        };
        self.decisions.push(now_ns, what);
    }

    fn refused(&mut self, refused: &Refused, now_ns: u64) {
        match refused.batch {
            Some(batch) => self.backlog.done(batch, refused.folio),
            None => self.backlog.left(refused.folio),
        }
        let counter = self.refused.entry(refused.reason).or_default();
        counter.add(1, now_ns);
        let what = Decided::Refused {
            reason: refused.reason,
            folios: 1,
            last: refused.folio,
        };
        self.decisions.push(now_ns, what);
    }

    fn retried(&mut self, retried: &Retried, now_ns: u64) {
        add(&mut self.retries, 1);
        self.backlog.done(retried.batch, retried.folio);
        self.backlog.put_off(retried.folio);
        let what = Decided::Retried {
            reason: retried.reason,
            folios: 1,
            last: retried.folio,
        };
        self.decisions.push(now_ns, what);
    }

    fn demoted(&mut self, demoted: &Demoted, now_ns: u64) {
        if let Some(sent) = &demoted.sent {
            if let Some(progress) = known(&mut self.room_made, sent.route) {
                add(&mut progress.folios, 1);
                progress.pages.add(demoted.pages, now_ns);
            }
            let what = Decided::MadeRoom {
                route: sent.route,
                batch: sent.batch,
                folios: 1,
                pages: demoted.pages,
            };
            self.decisions.push(now_ns, what);
            return;
        }
        // With a folio it is one that was promoted before, and which the node's own count has, too.
        match demoted.folio {
            Some(_) => add(&mut self.pages_came_back, demoted.pages),
            None => {
                if let Some(counter) = known(&mut self.demotions, demoted.node) {
                    counter.add(demoted.pages, now_ns);
                }
            }
        }
        let what = Decided::Demoted {
            node: demoted.node,
            pages: demoted.pages,
        };
        self.decisions.push(now_ns, what);
    }

    fn tuned(&mut self, tuned: &Tuned, now_ns: u64) {
        let key = (tuned.source.clone(), tuned.setting);
        if self.tuned.len() < TUNED_MAX || self.tuned.contains_key(&key) {
            self.tuned.insert(key, tuned.to);
        }
        let is_it = |source: &&mut Source| Some(&source.facts.name) == tuned.source.as_ref();
        if let Some(source) = self.sources.iter_mut().find(is_it) {
            match tuned.setting {
                TunedSetting::EpochNs => source.facts.granted_epoch_ns = Some(tuned.to),
                TunedSetting::UnitBytes => source.facts.unit_bytes = Some(tuned.to),
                _ => {}
            }
        }
        let what = Decided::Tuned {
            source: tuned.source.clone(),
            setting: tuned.setting,
            from: tuned.from,
            to: tuned.to,
            reason: tuned.reason.clone(),
        };
        self.decisions.push(now_ns, what);
    }

    /// How the run is at a time.
    pub fn status(&self, now_ns: u64) -> Status {
        let now_ns = now_ns.max(self.time_ns);
        let flow = |counter: &Counter| counter.flow(self.started_ns, now_ns);
        let ping_pong = self.refused.get(&Rejection::PingPong);
        Status {
            version: VERSION,
            program: self.program.clone(),
            time_ns: now_ns,
            started_ns: self.started_ns,
            has_ended: self.has_ended,
            actuator: self.actuator.clone(),
            dry_run: self.dry_run,
            routes: self.route_statuses(now_ns),
            demotions: self
                .demotions
                .iter()
                .map(|(&node, pages)| Demotions {
                    node,
                    pages: flow(pages),
                })
                .collect(),
            room_made: self
                .room_made
                .iter()
                .map(|(&route, progress)| RoomMade {
                    route,
                    folios: progress.folios,
                    pages: flow(&progress.pages),
                })
                .collect(),
            folios_kept: self.folios_kept,
            telemetry: self.telemetry.clone(),
            usefulness: self.usefulness,
            backlog_is_partial: self.backlog.is_partial(),
            folios_to_retry: self.backlog.to_retry(),
            retries: self.retries,
            batches: self.batches,
            sources: self
                .sources
                .iter()
                .map(|source| source.status(self.started_ns, now_ns))
                .collect(),
            refused: self
                .refused
                .iter()
                .map(|(&reason, folios)| (reason, flow(folios)))
                .collect(),
            ignored: self.ignored.clone(),
            ping_pong_folios: ping_pong.map_or(0, Counter::total),
            pages_came_back: self.pages_came_back,
            spill_limit: self.spill_limit(),
            tuned: self.tuned_statuses(),
            decisions: self.decisions.newest_first(),
        }
    }

    fn route_statuses(&self, now_ns: u64) -> Vec<RouteStatus> {
        let mut routes = self.backlog.routes();
        routes.extend(self.routes.keys());
        let nothing = Progress::default();
        routes
            .into_iter()
            .map(|route| {
                let waiting = self.backlog.waiting(route, now_ns);
                let progress = self.routes.get(&route).unwrap_or(&nothing);
                RouteStatus {
                    route,
                    folios_waiting: waiting.folios,
                    pages_waiting: waiting.pages,
                    oldest_ns: waiting.oldest_ns,
                    pages_moving: self.backlog.moving(route),
                    folios_moved: progress.folios,
                    pages_moved: progress.pages.flow(self.started_ns, now_ns),
                }
            })
            .collect()
    }

    /// The engine has no other reason to adapt its own rate; the largest number lifts the limit.
    fn spill_limit(&self) -> Option<u64> {
        let limit = self.tuned.get(&(None, TunedSetting::PagesPerSecond));
        limit.copied().filter(|limit| *limit != u64::MAX)
    }

    fn tuned_statuses(&self) -> Vec<TunedStatus> {
        let adapted = self.tuned.iter();
        adapted
            .filter(|((source, _), _)| source.is_some())
            .map(|((source, setting), &value)| TunedStatus {
                source: source.clone(),
                setting: *setting,
                value,
            })
            .collect()
    }
}

impl Source {
    fn new(facts: &Facts) -> Source {
        Source {
            facts: facts.clone(),
            health: Health::Good,
            reports: 0,
            units: Counter::default(),
            last_units: 0,
            most_units: 0,
            overflows: 0,
            units_dropped: 0,
            outside_memory: 0,
        }
    }

    fn status(&self, started_ns: u64, now_ns: u64) -> SourceStatus {
        SourceStatus {
            name: self.facts.name.clone(),
            kind: self.facts.kind,
            unit_bytes: self.facts.unit_bytes,
            epoch_ns: self.facts.granted_epoch_ns,
            health: self.health.clone(),
            reports: self.reports,
            units: self.units.flow(started_ns, now_ns),
            last_units: self.last_units,
            most_units: self.most_units,
            overflows: self.overflows,
            units_dropped: self.units_dropped,
            outside_memory: self.outside_memory,
        }
    }
}

fn add(sum: &mut u64, amount: u64) {
    *sum = sum.saturating_add(amount);
}

/// The value of a key, new where there is none yet; none when there are too many.
fn known<K: Ord, V: Default>(map: &mut BTreeMap<K, V>, key: K) -> Option<&mut V> {
    match map.len() < PLACES_MAX || map.contains_key(&key) {
        true => Some(map.entry(key).or_default()),
        false => None,
    }
}
