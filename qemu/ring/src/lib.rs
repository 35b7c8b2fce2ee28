// SPDX-License-Identifier: BSD-3-Clause
//! Shared-memory access rings between whoever sees memory accesses (the TCG plugin, a test, a
//! traffic generator) and the device that counts them.
//!
//! The device owns a [`Feed`]. A producer that connects to the device's access socket is handed a
//! sealed memory file with a ring per vCPU ([`Feed::hand_over`], [`Producer::connect`]) and from
//! then on writes records, [`Access`]es, without any system call. One producer is attached at a time, and
//! each gets memory of its own. The socket stays open: a byte from the producer asks the device to
//! look at the rings, and the socket's end tells each side that the other is gone.
//!
//! The consumer trusts nothing that lies in the shared memory: a producer can lose or invent
//! accesses, but it cannot make the consumer panic, block, or read outside the mapping, and
//! nothing that it did reaches the next producer.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod account;
mod arming;
mod cache_model;
mod consumer;
mod error;
mod handover;
mod layout;
mod limits;
mod plugin_options;
mod producer;
mod reader;
mod shared_memory;
mod window;

pub use account::{Traffic, VcpuAccount};
pub use arming::Arming;
pub use cache_model::{CacheLevel, CacheModel, CacheModelError};
pub use consumer::{Feed, FeedConfig};
pub use error::Error;
pub use limits::{ENTRIES_PER_RING, MAX_RINGS, MAX_WINDOWS};
pub use plugin_options::{PluginOptionError, PluginOptions};
pub use producer::{Producer, RingProducer, RinglessProducer};
pub use reader::DrainReport;
pub use shared_memory::sealed_memory_file;
pub use window::Window;

pub use chmu_spec::access::{Access, LINE_BYTES};
pub use chmu_spec::address::Hpa;
