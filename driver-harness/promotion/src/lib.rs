// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From hot memory to promoted pages.
//!
//! The floor on top of `chmu-driver` and `chmu-machine`, and the only one that decides which pages
//! move: a [`source`] reports, the [`Engine`] chooses, an [`actuator`] moves.

pub mod actuator;
mod aggregate;
mod batch;
pub mod damon;
mod engine;
mod folio;
pub mod frame_list;
pub mod ledger;
mod machine;
mod queue;
mod rate;
mod rejection;
pub mod report;
mod settle;
mod severity;
pub mod source;
pub mod status;
mod summary;
pub mod telemetry;
mod worker;

pub use aggregate::{ACCESS as HEAT_OF_AN_ACCESS, SourceId};
pub use batch::{Batch, Candidate, Direction, Fate, Folio, Route};
pub use chmu_machine::stop::StopFlag;
pub use engine::tuner;
pub use engine::{Destination, Engine, LargeFolios, Mode, Policy, Pressure};
pub use machine::{DescribedMachine, Identity, Machine, MachineError, PageKind, ThisMachine};
pub use rate::RateLimit;
pub use rejection::Rejection;
pub use severity::Severity;
pub use summary::{EpochRow, Recorder, RoutePages, Summary, WouldMove};
pub use worker::{End, Parts, RunError, Sink, run_inline, run_on_machine};

#[cfg(test)]
mod testing;
