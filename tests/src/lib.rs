// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the end-to-end and cross-crate tests share: guests with the device in them, the device
//! process alone, and a raw vfio-user client.

pub mod device_process;
pub mod guest;
pub mod lab_program;
pub mod processes;
pub mod raw_client;
pub mod terminal;
