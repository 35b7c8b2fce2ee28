// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Workloads whose truth is known, and whether a promotion moved the right pages.

mod proof;
pub mod workload;

pub use proof::{Proof, ProofError, prove};
