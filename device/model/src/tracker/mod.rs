// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Counting: which requests count, and how many did for each unit.

mod counters;
mod hot_units;
mod hottest;
mod ranges;
mod sampler;
mod selection;

pub(crate) use counters::{Clearing, Counters};
pub(crate) use hottest::{Hottest, KEPT_UNITS};
pub(crate) use ranges::RangeBitmap;
pub(crate) use selection::{BATCH_REQUESTS, Selection};
