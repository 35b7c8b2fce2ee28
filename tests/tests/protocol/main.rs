// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device's side of the vfio-user protocol, spoken to byte by byte: one file per message.

mod connection;
mod device_info;
mod device_reset;
mod dma_map;
mod dma_unmap;
mod irq_info;
mod malformed;
mod region_access;
mod region_info;
mod set_irqs;
mod version;
