// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CXL memory devices: how software finds and reads their registers, by CXL r3.1 as Linux uses it.

pub mod cdat;
pub mod component;
pub mod device;
pub mod dvsec;
pub mod event;
pub mod firmware;
pub mod health;
pub mod mailbox;
pub mod poison;

/// CXL's vendor identifier in DVSECs.
pub const VENDOR_ID: u16 = 0x1e98;

/// Sizes and bases of CXL memory are multiples of 256 MiB.
pub const CAPACITY_MULTIPLE_BYTES: u64 = 256 << 20;
