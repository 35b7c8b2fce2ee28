// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What everything that uses DAMON shares (Documentation/admin-guide/mm/damon/usage.rst): its files, who
//! owns it, and its workers.

pub(crate) mod control;
mod error;
pub(crate) mod monitor;
pub(crate) mod ownership;
pub(crate) mod workers;

pub use error::DamonError;
pub use ownership::{Places, Remains};
