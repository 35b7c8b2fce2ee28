// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How bad a failure is.

/// What a failure means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It may go well the next time.
    Retry,
    /// One source, process or batch is lost, and the others go on.
    Degraded,
    /// The run ends.
    Fatal,
}
