// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ledger as a proof reads it: its lines, what is wrong with them, and every move with the report
//! that justifies it.

mod audit;
mod moves;
mod read;

pub(crate) use audit::RATE;
pub use audit::{Fault, FaultKind};
pub use moves::{Attempt, Justification, Move, Moves, SentDown};
pub use read::{Ledger, LedgerError};

#[cfg(test)]
pub(crate) mod tests;
