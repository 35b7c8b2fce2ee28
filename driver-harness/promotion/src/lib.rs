// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From hot memory to promoted pages.
//!
//! The floor on top of `chmu-driver` and `chmu-machine`, and the only one that decides which pages
//! move: a [`source`] reports, the [`Promoter`] chooses, an [`actuator`] moves.

pub mod actuator;
mod folio;
pub mod frame_list;
mod machine;
mod outcome;
mod promoter;
mod queue;
mod rate;
mod report;
pub mod source;
mod worker;

pub use machine::{Machine, ThisMachine};
pub use outcome::{Outcome, Rejection, Route};
pub use promoter::{Destination, Policy, Promoter, PromotionError};
pub use rate::RateLimit;
pub use report::{EpochRow, Recorder, Report, RoutePages};
pub use worker::{RunError, promote_reported, promote_waiting};

#[cfg(test)]
mod tests;
