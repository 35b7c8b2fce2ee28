// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The truth about a program that has none of its own: how often the device saw each of its pages
//! accessed, while the page was known to lie where it lay.
//!
//! An emulated device has an oracle that counts every access by page; silicon has none. The counts
//! are of frames, and pages move between frames. So the watcher looks at the process's page map
//! before and after each reading of the counts: what was counted between two readings belongs to a
//! page for *sure* when the page was in that frame at all four looks, and only *possibly* when it
//! left in between. A page that has left is not followed: on faster memory nobody counts its
//! accesses.

mod fresh;
mod oracle;
mod page;
mod session;
mod truth;
mod watcher;

pub use fresh::FreshError;
pub use oracle::{Oracle, OracleError, OracleState, PORT_NAME, ports};
pub use page::{FOREIGN_ACCESSES, Left, ObservedPage, Rates, Seen};
pub use session::{Session, SessionError};
pub use truth::{Observation, ObservationError, ObservedNode};
pub use watcher::{Look, Watcher};

#[cfg(test)]
mod tests;
