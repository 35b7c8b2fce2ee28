// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! chmu: lists hotness monitoring units, promotes hot pages, judges devices.

pub mod actuator;
pub mod agent;
pub mod clock;
pub mod conformance;
pub mod device;
pub mod memory;
pub mod names;
pub mod program;
pub mod promotion;
pub mod proof;
pub mod refusal;
pub mod source;
pub mod sysfs_file;
pub mod topology;
pub mod translation;
pub mod transport;
mod wait;
pub mod words;
pub mod workload;
