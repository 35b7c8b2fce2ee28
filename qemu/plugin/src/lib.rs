// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU TCG plugin that reports guest accesses to CXL memory.
//!
//! ```text
//! -plugin libchmu_plugin.so,socket=PATH[,socket=PATH...][,cache=none|lines:N|LEVELS]
//!     [,filter=window]
//! ```
//!
//! While a device is armed, every load and store of the guest calls back here. Most end in the
//! guest's modelled caches; what gets past them and lies in a window of a device becomes a record in the
//! vCPU's ring of that device. Nothing on that path locks, allocates or makes a system call.
//! `README.md` says what is reported, what is not, and what it costs.

mod api7;
mod arguments;
mod cache;
mod configuration;
mod instruction;
mod message;
mod pages;
mod session;
mod vcpu;
