// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From hot memory to promoted pages.
//!
//! The floor on top of `chmu-driver` and `chmu-machine`, and the only one that decides which pages
//! move: a [`source`] reports, the [`Promoter`] chooses, an [`actuator`] moves.

pub mod actuator;
mod batch;
pub mod damon;
mod folio;
pub mod frame_list;
pub mod ledger;
mod machine;
mod outcome;
mod promoter;
mod queue;
mod rate;
mod rejection;
pub mod report;
mod severity;
pub mod source;
pub mod status;
mod summary;
mod worker;

pub use batch::{Batch, Candidate, Fate, Folio, Route};
pub use chmu_machine::stop::StopFlag;
pub use machine::{Machine, ThisMachine};
pub use outcome::Outcome;
pub use promoter::{Destination, Policy, Promoter, PromotionError};
pub use rate::RateLimit;
pub use rejection::Rejection;
pub use severity::Severity;
pub use summary::{EpochRow, Recorder, RoutePages, Summary};
pub use worker::{RunError, promote_reported, promote_waiting};

#[cfg(test)]
mod tests;
