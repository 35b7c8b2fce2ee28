// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the harness knows of the machine that it runs on.

pub mod acpi;
pub mod clock;
pub mod memory;
pub mod names;
pub mod node;
pub mod refusal;
pub mod sysfs_file;
pub mod topology;
pub mod wait;
pub mod words;
