// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the end-to-end and cross-crate tests share: a raw vfio-user client and the device process.

pub mod device_process;
pub mod raw_client;
