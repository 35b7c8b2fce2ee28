// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CXL hotness monitoring units as pure state machines.
//!
//! A [`Block`] is what one Register Locator entry points to: a header and its instances. It is
//! told the time with every call, is given accesses in batches, and reaches the outside through
//! [`Host`] only. It knows no clock, thread, file or transport.
//!
//! A block can be told to break one rule: see [`Quirk`]. What it does at the steps where rules are
//! broken is a value that is made with it; the code of the steps knows no quirk.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod behaviour;
mod block;
mod capabilities;
mod caution;
mod config;
mod event;
mod host;
mod instance;
mod layout;
mod place;
mod quirk;
mod rules;
mod settings;
mod statistics;
mod tracker;
mod word;

pub use block::Block;
pub use capabilities::{Capabilities, CounterWidths};
pub use caution::Caution;
pub use config::{BlockConfig, ConfigError};
pub use event::{Event, Fault, Refusal};
pub use host::Host;
pub use quirk::{Emulation, Layer, Quirk, QuirkSet};
pub use statistics::InstanceStatistics;
