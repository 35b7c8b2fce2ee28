// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device's side of the vfio-user protocol, spoken to byte by byte: one file per message,
//! and what else a process around the device can see.

mod access_feed;
mod clients;
mod connection;
mod descriptors;
mod device_info;
mod device_reset;
mod dma_map;
mod dma_unmap;
mod interrupt_kinds;
mod irq_info;
mod life_cycle;
mod mailbox;
mod malformed;
mod memory_limit;
mod monitor;
mod oracle;
mod output;
mod process;
mod public_driver;
mod region_access;
mod region_info;
mod register_trace;
mod set_irqs;
mod statistics;
mod version;
