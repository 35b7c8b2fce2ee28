// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A run of the real engine on the simulated machine, judged by the real proof.

use std::collections::BTreeMap;
use std::fmt;

use chmu_promotion::actuator::Actuator;
use chmu_promotion::ledger::Event;
use chmu_promotion::report::Health;
use chmu_promotion::source::HotnessSource;
use chmu_promotion::telemetry::Telemetry;
use chmu_promotion::{Batch, Engine, Fate, Machine, Policy, SourceId, StopFlag};

use super::machine::{CountingSource, EPOCH_NS, HonestActuator, HonestTelemetry, Shared, topology};
use super::world::{FAST, SLOW};
use crate::evidence::{Demands, Evidence, Truth, Witness};
use crate::judge;
use crate::ledger::Ledger;
use crate::this_machine::{Right, all_targets, demotion_targets};
use crate::verdict::Verdict;

/// Time between two steps of the simulation.
const STEP_NS: u64 = 10_000_000;
/// Steps of a run.
const STEPS: u64 = 240;
/// Pages of the workload; the first two folios of 16 pages each.
pub(super) const PAGES: u64 = 192;
/// Every so many pages one is hot.
const HOT_EVERY: u64 = 4;
/// The large folio's only hot page.
const HOT_IN_FOLIO: u64 = 3;
/// The step at which a stranger needs memory:
/// just after the hot pages moved, and before the device is read again.
const STRANGER_COMES: u64 = 13;
/// The step at which the hot set moves, in runs where it does.
const HOT_SET_MOVES: u64 = 120;

/// Pages of the program that fills the fast node, and its place among the processes.
pub(super) const RESIDENT: u64 = 128;
pub(super) const RESIDENT_PROCESS: usize = 2;
/// Pages of the workload that are in large folios.
pub(super) const FOLIO_PAGES: u64 = 16;

/// What goes between the engine's queue and the actuator: may change a batch, and what is said of it.
pub(super) trait HandOver: fmt::Debug {
    /// Has the actuator move a batch; returns the fates that the engine is told.
    fn hand_over(&mut self, batch: &Batch, actuator: &mut dyn Actuator) -> Vec<Fate> {
        let stop = StopFlag::new();
        let fates = stop
            .ok()
            .and_then(|stop| actuator.promote_batch(batch, &stop).ok());
        fates.unwrap_or_default()
    }
}

/// What other programs do at a step, counted from 0.
pub(super) type Others = dyn FnMut(&Shared, u64);

#[derive(Debug)]
struct Straight;

impl HandOver for Straight {}

/// Everything that a run is put together from. Each part can be replaced by a saboteur.
pub(super) struct Parts {
    pub(super) shared: Shared,
    pub(super) machine: Box<dyn Machine>,
    pub(super) source: Box<dyn HotnessSource>,
    pub(super) actuator: Box<dyn Actuator>,
    /// What watches the fast node; none where nobody does.
    pub(super) telemetry: Option<Box<dyn Telemetry>>,
    pub(super) hand_over: Box<dyn HandOver>,
    /// The engine's clock, from the true time.
    pub(super) clock: fn(u64) -> u64,
    /// What else happens in the machine, at each step.
    pub(super) others: Box<Others>,
    /// Whoever writes the ledger down.
    pub(super) scribe: fn(Vec<Event>) -> Vec<Event>,
    pub(super) policy: Policy,
    pub(super) demands: Demands,
    /// The hot set moves once.
    pub(super) moving: bool,
}

impl Parts {
    /// A run in which everybody is honest.
    pub(super) fn honest() -> Parts {
        let shared = Shared::default();
        shared.world().now_ns = 1_000_000_000;
        Parts {
            machine: Box::new(shared.clone()),
            source: Box::new(CountingSource::new(shared.clone())),
            actuator: Box::new(HonestActuator(shared.clone())),
            telemetry: None,
            hand_over: Box::new(Straight),
            clock: |now_ns| now_ns,
            others: Box::new(|_, _| {}),
            scribe: |events| events,
            policy: Policy::default(),
            demands: Demands {
                exclusive: true,
                lateness_ns: 200_000_000,
                ..Demands::default()
            },
            moving: false,
            shared,
        }
    }

    /// The same where the fast node is full of another program's pages, most of them cold.
    pub(super) fn full() -> Parts {
        let mut parts = Parts::honest();
        parts.telemetry = Some(Box::new(HonestTelemetry(parts.shared.clone())));
        parts.policy.demote_coldest = true;
        // So that some are promoted before others make room.
        parts.policy.batch_folios = 16;
        parts.shared.world().fast_pages = Some(RESIDENT);
        parts
    }

    /// Runs and judges.
    pub(super) fn run(mut self) -> Result<Verdict, String> {
        let stop = StopFlag::new().map_err(|error| error.to_string())?;
        let (workload, hot) = self.set_up();
        let mut engine = Engine::new(self.policy.clone(), 1);
        let now_ns = (self.clock)(self.shared.world().now_ns);
        engine.begin(
            vec![self.source.facts().clone()],
            self.actuator.name(),
            false,
            now_ns,
        );
        if let Some(telemetry) = &self.telemetry {
            engine.use_telemetry(telemetry.name(), telemetry.frames_max(), now_ns);
        }
        for step in 0..STEPS {
            self.live(step, workload, &hot);
            let now_ns = (self.clock)(self.shared.world().now_ns);
            if (step * STEP_NS).is_multiple_of(EPOCH_NS) {
                let report = self
                    .source
                    .poll(now_ns, &stop)
                    .map_err(|error| error.to_string())?;
                let offered =
                    engine.offer(SourceId(0), &report, Health::Good, &*self.machine, now_ns);
                offered.map_err(|error| error.to_string())?;
            }
            self.promote(&mut engine)?;
            self.watch(&mut engine, &stop)?;
        }
        let now_ns = (self.clock)(self.shared.world().now_ns);
        engine.end(now_ns);
        let events = (self.scribe)(engine.drain_ledger());
        self.judge(events)
    }

    /// The workload with its hot pages, and a cold neighbour that was there before.
    fn set_up(&mut self) -> (usize, Vec<u64>) {
        let mut world = self.shared.world();
        let neighbour = world.spawn(64, (0, 1));
        let workload = world.spawn(PAGES, (2, FOLIO_PAGES));
        if world.fast_pages.is_some() {
            let resident = world.spawn_on(FAST, RESIDENT, (0, 1));
            let hot: Vec<_> = (0..RESIDENT).filter(|page| page % HOT_EVERY == 2).collect();
            world.heat(resident, &hot);
        }
        world.heat(neighbour, &[]);
        let base = (2 * FOLIO_PAGES..PAGES).filter(|page| page % HOT_EVERY == 1);
        let hot: Vec<_> = std::iter::once(HOT_IN_FOLIO).chain(base).collect();
        world.now_ns += STEP_NS;
        (workload, hot)
    }

    /// One step of everybody's life.
    fn live(&mut self, step: u64, workload: usize, hot: &[u64]) {
        {
            let mut world = self.shared.world();
            world.now_ns += STEP_NS;
            if step == 10 {
                world.heat(workload, hot);
            }
            if step == HOT_SET_MOVES && self.moving {
                let later: Vec<_> = (2 * FOLIO_PAGES..PAGES)
                    .filter(|page| page % HOT_EVERY == 3)
                    .collect();
                world.heat(workload, &later);
            }
            let hot = world.processes[workload].state.hot_pages.clone();
            for page in hot {
                world.visit(workload, page);
            }
            if world.fast_pages.is_some() {
                for page in world.processes[RESIDENT_PROCESS].state.hot_pages.clone() {
                    world.visit(RESIDENT_PROCESS, page);
                }
            }
            if step == STRANGER_COMES {
                let stranger = world.spawn(32, (0, 1));
                world.heat(stranger, &[]);
                (0..32).for_each(|page| world.touch_once(stranger, page));
            }
        }
        (self.others)(&self.shared, step);
    }

    /// Answers what the engine asks of the fast node.
    fn watch(&mut self, engine: &mut Engine, stop: &StopFlag) -> Result<(), String> {
        let Some(telemetry) = &mut self.telemetry else {
            return Ok(());
        };
        let now_ns = (self.clock)(self.shared.world().now_ns);
        loop {
            let watch = engine
                .next_watch(&*self.machine, now_ns)
                .map_err(|error| error.to_string())?;
            match watch {
                Some(watch) => {
                    let watched = telemetry.watch(&watch, stop);
                    let watched = watched.map_err(|error| error.to_string())?;
                    engine
                        .watched(Some(watched), &*self.machine, now_ns)
                        .map_err(|error| error.to_string())?;
                }
                None if engine.is_searching() => {}
                None => return Ok(()),
            }
        }
    }

    fn promote(&mut self, engine: &mut Engine) -> Result<(), String> {
        loop {
            let now_ns = (self.clock)(self.shared.world().now_ns);
            let batch = engine
                .next_batch(&*self.machine, now_ns)
                .map_err(|error| error.to_string())?;
            let Some(batch) = batch else {
                return Ok(());
            };
            let fates = self.hand_over.hand_over(&batch, &mut *self.actuator);
            let ended_ns = {
                let mut world = self.shared.world();
                world.now_ns += 1000;
                (self.clock)(world.now_ns)
            };
            engine.completed(&batch, &fates, now_ns, ended_ns);
        }
    }

    /// What the proof says of the machine as it is now.
    fn judge(self, events: Vec<Event>) -> Result<Verdict, String> {
        let mut world = self.shared.world();
        world.verify();
        let processes = 0..world.processes.len();
        let witness = |process: usize| Witness {
            truth: Truth::Told(Box::new(world.processes[process].state.clone())),
            whereabouts: world.whereabouts(process),
        };
        let truth = topology(20, 30);
        let targets = all_targets(&truth, Right::Best, BTreeMap::new());
        if !targets.contains_key(&SLOW) {
            return Err("The simulated machine has no target".into());
        }
        let evidence = Evidence {
            witnesses: processes.map(witness).collect(),
            ledger: Some(Ledger::of_events(events).map_err(|error| error.to_string())?),
            targets,
            demotion_targets: demotion_targets(&truth),
            now_ns: world.now_ns,
        };
        Ok(judge(&evidence, &self.demands, "a simulation"))
    }
}
