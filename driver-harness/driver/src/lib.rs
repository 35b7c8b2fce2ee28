// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotness monitoring units: finding them, driving them, and where their memory appears.
//!
//! The floor on top of `chmu-machine`; beside it, this crate imports `chmu-spec`, and `chmu-cxl` for
//! a device without any machine. Inside, `translation` uses `device`, and both use `transport`. What
//! is here may go to any thread.

pub mod device;
mod refusal;
pub mod translation;
pub mod transport;
