// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Workloads whose truth is known, and whether a promotion moved the right pages.
//!
//! The floor on top of `chmu-promotion` and `chmu-machine`. It knows no device: what was reported is
//! of no concern to where a page should be.

mod proof;
pub mod workload;

pub use proof::{Proof, ProofError, prove};
