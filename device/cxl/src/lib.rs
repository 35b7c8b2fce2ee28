// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The CXL Type-3 function around the hotness monitoring units, as pure code.
//!
//! A [`Function`] is a whole PCI function: configuration space, component registers (BAR0),
//! memory device registers (BAR2) and hotness monitoring units (BAR4). It is told the time with
//! every call, is given accesses by host physical address, and reaches the outside through
//! [`FunctionHost`] only. It knows no clock, thread, file or transport.
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

mod address_map;
mod bar;
mod behaviour;
mod bytes;
mod cdat;
mod component;
mod config;
mod config_space;
mod device_registers;
mod event;
mod function;
mod host;
mod monitors;
mod msix;
mod profile;
mod register_space;
mod statistics;
#[cfg(test)]
mod testing;

pub use bar::Bar;
pub use config::{
    ConfigError, DEFAULT_HDM_DECODERS, DecoderConfig, DecoderError, FunctionConfig, InterruptKind,
    Interrupts, Performance,
};
pub use device_registers::{Condition, MediaEvent, Transaction};
pub use event::{DecoderRefusal, FunctionEvent};
pub use function::{Function, Region};
pub use host::FunctionHost;
pub use profile::Profile;
pub use statistics::FunctionStatistics;
