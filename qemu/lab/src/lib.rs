// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Gets QEMU and Linux, boots the guest with the device, runs scenarios.

pub mod acpi;
mod archive;
pub mod bench;
pub mod cache;
pub mod columns;
pub mod compare;
mod compression;
pub mod doctor;
mod elf;
pub mod guest_image;
pub mod host_bridge;
pub mod kernel_config;
pub mod kernel_log;
pub mod machine;
pub mod output;
pub mod platform;
pub mod programs;
pub mod report;
pub mod runs;
pub mod scenario;
mod script_header;
mod side_by_side;
pub mod size;
pub mod spread;
pub mod test_run;
pub mod tiers;
pub mod topology;
pub mod userland;
pub mod workloads;

pub use chmu_launcher::progress;
