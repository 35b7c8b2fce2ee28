// SPDX-License-Identifier: BSD-3-Clause
//! Shared-memory access rings between whoever sees memory accesses (the TCG plugin, a test, a
//! traffic generator) and the device that counts them.
//!
//! The device owns a [`Feed`]: one sealed memory file with a ring per vCPU, and a doorbell. A
//! producer that connects to the device's access socket is handed both ([`Feed::hand_over`],
//! [`Producer::connect`]) and from then on writes [`Record`]s without any system call. One
//! producer is attached at a time; the socket stays open and its end tells each side that the
//! other is gone.
//!
//! The consumer trusts nothing that lies in the shared memory: a producer can lose or invent
//! accesses, but it cannot make the consumer panic, block, or read outside the mapping.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod consumer;
mod doorbell;
mod error;
mod handover;
mod layout;
mod memfd;
mod producer;
mod record;

pub use consumer::{DrainReport, Feed, FeedConfig};
pub use error::Error;
pub use layout::{ENTRIES_PER_RING, MAX_RINGS, MAX_WINDOWS};
pub use producer::{Arming, Producer, RingProducer};
pub use record::{LINE_BYTES, Record, Window};
