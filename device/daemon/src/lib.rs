// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! vfio-user server: a CXL memory device with hotness monitoring units.

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod access_socket;
mod accounts;
mod alarm;
pub mod arguments;
mod bar_memory;
pub mod clock;
mod clock_socket;
pub mod config;
pub mod daemon;
pub mod descriptors;
mod device;
mod event_socket;
mod events;
mod feed;
mod inherited_socket;
mod line_socket;
mod listener;
pub mod logging;
mod oracle;
mod outgoing;
mod outside;
mod peer;
mod peers;
pub mod profiles;
pub mod quirks;
mod rate_limit;
mod register_trace;
mod server;
mod signals;
pub mod socket_file;
mod statistics;
mod statistics_socket;
mod vectors;
