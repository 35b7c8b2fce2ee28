// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! vfio-user server: a CXL memory device with hotness monitoring units.

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod access_socket;
pub mod arguments;
pub mod bar_memory;
pub mod clock;
mod clock_socket;
pub mod config;
pub mod daemon;
pub mod device;
pub mod endpoint;
mod event_socket;
mod events;
pub mod feed;
mod line_socket;
pub mod logging;
pub mod outside;
mod peers;
pub mod profiles;
pub mod quirks;
pub mod rate_limit;
pub mod server;
pub mod signals;
pub mod statistics;
mod statistics_socket;
pub mod timer;
pub mod vectors;
