// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotness monitoring units: finding them, driving them, and where their memory appears.

pub mod device;
mod refusal;
pub mod translation;
pub mod transport;
