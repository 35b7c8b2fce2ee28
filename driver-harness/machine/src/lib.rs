// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the harness knows of the machine that it runs on: its nodes and frames, its firmware's
//! tables, its clocks, and why its kernel refuses something.
//!
//! The lowest floor of the harness: of this project it imports `chmu-spec` only, and every other
//! floor may import it. It knows no device and no policy.

pub mod acpi;
pub mod clock;
pub mod cpusets;
pub mod lock;
pub mod memory;
pub mod names;
pub mod node;
pub mod process;
pub mod refusal;
pub mod stop;
pub mod sysfs_file;
pub mod targets;
pub mod topology;
pub mod wait;
pub mod watermarks;
pub mod words;
