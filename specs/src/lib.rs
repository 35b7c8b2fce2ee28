// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CHMU, CXL and PCI register layouts, addresses and codecs.
//!
//! One description serves three readers: the device model takes its access rules from it, the
//! driver harness decodes devices with it, and `REGISTERS.md` is printed from it.
#![forbid(unsafe_code)]

pub mod access;
pub mod address;
pub mod chmu;
pub mod cxl;
pub mod doe;
pub mod epoch;
pub mod hotlist;
pub mod interleave;
pub mod native;
pub mod pci;
pub mod register;
pub mod register_page;
pub mod request;
pub mod unit_size;
pub mod word;
