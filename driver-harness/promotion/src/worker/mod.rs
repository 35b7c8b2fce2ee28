// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs of promotion: what drives the engine.
//!
//! A run on a machine has a thread for each source, so that a list is drained while a batch moves; the
//! workers that promotion's pressure asks for; and the thread that called, in which the engine decides.
//! A run over a stream that moves nothing needs none of that: it lives by the stream's own time, so that
//! its decisions are the same each time.

use std::io;
use std::time::Duration;

use crate::actuator::{Actuator, ActuatorError};
use crate::aggregate::SourceId;
use crate::engine::Engine;
use crate::ledger::{Event, WriteError};
use crate::machine::{Machine, MachineError};
use crate::report::{Facts, Health};
use crate::severity::Severity;
use crate::source::{HotnessSource, SourceError};
use crate::summary::{Recorder, Summary};
use crate::telemetry::Telemetry;

mod crew;
mod inline;
mod on_machine;
mod telemetry;
#[cfg(test)]
mod tests;
mod threads;

pub use inline::run_inline;
pub use on_machine::run_on_machine;

/// What a run on a machine works with.
#[derive(Debug)]
pub struct Parts {
    /// What finds hot memory.
    pub sources: Vec<Box<dyn HotnessSource>>,
    /// What moves pages.
    pub actuator: Box<dyn Actuator>,
    /// What watches fast memory, where somebody does.
    pub telemetry: Option<Box<dyn Telemetry>>,
}

/// When a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// After this time.
    pub after: Option<Duration>,
    /// After so many epochs.
    pub after_epochs: Option<u64>,
    /// When some pages have been promoted, but none in the last epochs, and none waits.
    pub when_stable: bool,
    /// When no folio waits and no source will report anything any more.
    pub when_idle: bool,
}

/// Where events of the ledger go, in their order, none when there are none: at each turn of the run. An
/// error ends it.
pub type Sink<'a> = dyn FnMut(&[Event]) -> Result<(), WriteError> + 'a;

/// Why a run ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Every source failed; this is what the last one said.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The machine does not answer.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Nothing can be moved.
    #[error("Cannot promote pages")]
    Actuator(#[source] ActuatorError),
    /// An actuator does not end what it began, although it was told to stop.
    #[error(
        "The actuator {actuator} does not come back from {}; nobody knows whether what it was to move \
         has moved",
        chmu_machine::words::count(*batches, "batch", "batches")
    )]
    Stuck {
        /// Its name.
        actuator: &'static str,
        /// Batches that it has.
        batches: u64,
    },
    /// The kernel gives the process no more threads.
    #[error("Cannot start a thread")]
    Thread(#[source] io::Error),
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] WriteError),
}

/// What every run has: the engine, the machine that it asks, and where its events go.
struct Core<'a> {
    engine: &'a mut Engine,
    machine: &'a dyn Machine,
    sink: &'a mut Sink<'a>,
    recorder: Recorder,
}

impl<'a> Core<'a> {
    fn new(engine: &'a mut Engine, machine: &'a dyn Machine, sink: &'a mut Sink<'a>) -> Core<'a> {
        Core {
            engine,
            machine,
            sink,
            recorder: Recorder::default(),
        }
    }

    fn begin(&mut self, sources: &[Box<dyn HotnessSource>], actuator: &dyn Actuator, now_ns: u64) {
        let facts: Vec<Facts> = sources
            .iter()
            .map(|source| source.facts().clone())
            .collect();
        self.engine
            .begin(facts, actuator.name(), actuator.limits().is_dry, now_ns);
    }

    /// Hands the engine's events on.
    fn tell(&mut self) -> Result<(), WriteError> {
        let events = self.engine.drain_ledger();
        events.iter().for_each(|event| self.recorder.note(event));
        (self.sink)(&events)
    }

    /// What the machine could not answer this time is no reason to end, unless it never will.
    fn tolerate<T>(result: Result<T, MachineError>) -> Result<Option<T>, MachineError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.severity() == Severity::Fatal => Err(error),
            Err(error) => {
                log::warn!("{}", chmu_machine::words::describe(&error));
                Ok(None)
            }
        }
    }

    fn end(mut self, now_ns: u64) -> Result<Summary, WriteError> {
        self.engine.end(now_ns);
        self.tell()?;
        Ok(self.recorder.finish())
    }
}

/// The number of a source by its place.
fn source_id(place: usize) -> SourceId {
    SourceId(u32::try_from(place).unwrap_or(u32::MAX))
}

/// Whether a source will report nothing any more, and why.
fn is_gone(source: &dyn HotnessSource) -> Option<String> {
    match source.health() {
        Health::Gone(reason) => Some(reason),
        Health::Good | Health::Degraded(_) => None,
    }
}
