// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Workloads whose truth is known, and whether a promotion moved the right pages.
//!
//! The floor on top of `chmu-promotion` and `chmu-machine`. It knows no device: what was reported is
//! of no concern to where a page should be. Of promotion it reads the ledger and nothing else.

pub mod algorithms;
pub mod evidence;
mod judge;
pub mod ledger;
pub mod observation;
pub mod sabotage;
mod this_machine;
pub mod verdict;
pub mod workload;

pub use judge::judge;
pub use this_machine::{ProofError, Right, gather};
pub use verdict::{Claim, Outcome, Reason, Verdict};
