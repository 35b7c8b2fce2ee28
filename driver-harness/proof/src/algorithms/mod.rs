// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Programs with the accesses of real ones, whose results can be checked: a graph, random updates, a pointer chase.
//!
//! Their memory is the heap's, wherever the kernel puts it. Each checks its result by another way than it was made, and
//! each can be spoilt in one place, which it must find.

pub mod chase;
pub mod graph;
pub mod updates;

/// A result that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {found}, and must be {expected}")]
pub struct Wrong {
    /// What was looked at.
    pub what: String,
    /// What it is.
    pub found: String,
    /// What it must be.
    pub expected: String,
}

impl Wrong {
    fn new(what: impl Into<String>, found: impl ToString, expected: impl ToString) -> Wrong {
        Wrong {
            what: what.into(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }
}
