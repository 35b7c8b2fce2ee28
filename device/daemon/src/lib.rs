// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! vfio-user server: a CXL memory device with hotness monitoring units.

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod bar_memory;
pub mod endpoint;
pub mod logging;
pub mod rate_limit;
pub mod server;
pub mod vectors;
