// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Workers: threads that have an actuator move one batch after the other to one target.
//!
//! One is started when the first batch for its target is due, which is when the pages that wait are many
//! or have waited long enough, and stopped when none has come for a while.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use chmu_machine::clock;
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;

use super::on_machine::Message;
use super::threads::{self, Threads};
use crate::actuator::{Actuator, ActuatorError};
use crate::batch::{Batch, Fate};

/// A worker without a batch for so long is not needed.
const IDLE_NS: u64 = 2_000_000_000;

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) batch: Batch,
    pub(super) result: Result<Vec<Fate>, ActuatorError>,
    pub(super) started_ns: u64,
    pub(super) ended_ns: u64,
}

type SharedActuator = Arc<Mutex<Box<dyn Actuator>>>;

/// The workers of a run.
#[derive(Debug)]
pub(super) struct Crew {
    /// Used by all workers when there can be only one of it.
    actuator: SharedActuator,
    workers: BTreeMap<NodeId, Worker>,
    results: SyncSender<Message>,
    stop: StopFlag,
}

#[derive(Debug)]
struct Worker {
    batches: Sender<Batch>,
    last_ns: u64,
}

impl Crew {
    pub(super) fn new(
        actuator: Box<dyn Actuator>,
        results: SyncSender<Message>,
        stop: StopFlag,
    ) -> Crew {
        Crew {
            actuator: Arc::new(Mutex::new(actuator)),
            workers: BTreeMap::new(),
            results,
            stop,
        }
    }

    /// Gives a batch to the worker of its target.
    ///
    /// # Errors
    /// When there is none, and none can be started.
    pub(super) fn assign(
        &mut self,
        batch: Batch,
        threads: &mut Threads,
        now_ns: u64,
    ) -> io::Result<()> {
        let target = batch.route.target;
        if !self.workers.contains_key(&target) {
            let batches = self.start(target, threads)?;
            let last_ns = now_ns;
            self.workers.insert(target, Worker { batches, last_ns });
        }
        if let Some(worker) = self.workers.get_mut(&target) {
            worker.last_ns = now_ns;
            // A worker ends only after its sender, which is here.
            let _ = worker.batches.send(batch);
        }
        Ok(())
    }

    /// Lets workers go that have had nothing to do for a while.
    pub(super) fn dismiss_idle(&mut self, now_ns: u64) {
        self.workers
            .retain(|_, worker| now_ns.saturating_sub(worker.last_ns) < IDLE_NS);
    }

    /// Starts a worker.
    fn start(&self, target: NodeId, threads: &mut Threads) -> io::Result<Sender<Batch>> {
        let (batches, work) = mpsc::channel::<Batch>();
        let shared = Arc::clone(&self.actuator);
        let own = lock(&shared).another();
        let actuator = own.map_or(shared, |own| Arc::new(Mutex::new(own)));
        let results = self.results.clone();
        let stop = self.stop.clone();
        let name = format!("the worker of node {target}");
        threads.start(name, move || {
            for batch in work {
                let mut guard = lock(&actuator);
                let started_ns = clock::monotonic_ns();
                let result = threads::attempt(|| guard.promote_batch(&batch, &stop));
                drop(guard);
                let done = Done {
                    batch,
                    result: result.unwrap_or_else(|said| Err(ActuatorError::Panicked(said))),
                    started_ns,
                    ended_ns: clock::monotonic_ns(),
                };
                if results.send(Message::Done(done)).is_err() {
                    break;
                }
            }
            actuator
        })?;
        Ok(batches)
    }
}

fn lock(actuator: &SharedActuator) -> std::sync::MutexGuard<'_, Box<dyn Actuator>> {
    actuator.lock().unwrap_or_else(PoisonError::into_inner)
}
