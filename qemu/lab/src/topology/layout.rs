// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where QEMU's `q35` machine puts the memory (QEMU `hw/i386/pc_q35.c` and `hw/core/numa.c`).

use chmu_spec::address::{Hpa, HpaRange};

use super::{GIB, KIB, MIB, PlacedDevice, PlacedWindow, Topology, WINDOW_ALIGNMENT_BYTES};

/// More memory than this below 4 GiB would reach into the PCI hole.
const LOW_MEMORY_LIMIT_BYTES: u64 = 2 * GIB;
/// Memory that does not fit below continues here.
const HIGH_MEMORY_BASE: u64 = 4 * GIB;
/// A CXL 2.0 component register block.
const REGISTER_BLOCK_BYTES: u64 = 64 * KIB;
/// QEMU loads the initramfs and the firmware its tables at the top of low memory, the kernel lies at
/// 16 MiB: this far below the top is clear of all three.
const REGISTER_BLOCK_BELOW_TOP_BYTES: u64 = 256 * MIB;

impl Topology {
    /// All memory, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.nodes.iter().map(|node| node.memory_bytes).sum()
    }

    /// Memory below 4 GiB: DRAM only, so that every window lies above.
    pub fn low_memory_bytes(&self) -> u64 {
        let dram = self.nodes.iter().filter(|node| node.window.is_none());
        let dram_bytes = dram.map(|node| node.memory_bytes).sum();
        LOW_MEMORY_LIMIT_BYTES.min(dram_bytes)
    }

    /// The node's memory: nodes follow each other from address 0 and skip the hole below 4 GiB.
    pub fn memory_ranges(&self, node: usize) -> Vec<HpaRange> {
        let start: u64 = self.nodes[..node]
            .iter()
            .map(|node| node.memory_bytes)
            .sum();
        let end = start + self.nodes[node].memory_bytes;
        let low_end = self.low_memory_bytes();
        let mut ranges = Vec::new();
        if start < low_end {
            ranges.push(HpaRange {
                start: Hpa(start),
                bytes: end.min(low_end) - start,
            });
        }
        if end > low_end {
            let start = start.max(low_end);
            ranges.push(HpaRange {
                start: Hpa(HIGH_MEMORY_BASE + start - low_end),
                bytes: end - start,
            });
        }
        ranges
    }

    /// The windows, ascending.
    pub fn windows(&self) -> Vec<PlacedWindow<'_>> {
        let mut next_root_port = 0;
        let mut windows = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(window) = &node.window else { continue };
            for range in self.memory_ranges(index) {
                windows.push(PlacedWindow {
                    node: index,
                    base: range.start,
                    size_bytes: range.bytes,
                    first_root_port: next_root_port,
                    window,
                });
            }
            next_root_port += window.devices.len();
        }
        windows
    }

    /// The devices, in the order of their root ports.
    pub fn devices(&self) -> Vec<PlacedDevice<'_>> {
        let processors = self.nodes.iter().map(|node| node.processors).sum();
        let mut devices = Vec::new();
        for window in self.windows() {
            for (position, device) in window.window.devices.iter().enumerate() {
                devices.push(PlacedDevice {
                    index: window.first_root_port + position,
                    position,
                    window,
                    device: *device,
                    processors,
                    performance: self.device_performance(&window),
                });
            }
        }
        devices
    }

    /// Where the RAM lies that stands for a host bridge's component registers.
    ///
    /// QEMU's own host bridge has its decoders uncommitted after each reset and nothing in the
    /// firmware commits them, so Linux is shown a block in DRAM that QEMU fills at each reset.
    pub fn register_block(&self, host_bridge: usize) -> HpaRange {
        HpaRange {
            start: Hpa(self.register_blocks().start.0 + host_bridge as u64 * REGISTER_BLOCK_BYTES),
            bytes: REGISTER_BLOCK_BYTES,
        }
    }

    /// The register blocks of all host bridges, which follow each other.
    pub fn register_blocks(&self) -> HpaRange {
        let top = self.low_memory_bytes();
        HpaRange {
            start: Hpa(top.saturating_sub(REGISTER_BLOCK_BELOW_TOP_BYTES)),
            bytes: self.host_bridges.len() as u64 * REGISTER_BLOCK_BYTES,
        }
    }

    /// The largest initramfs that stays clear of the register blocks.
    pub fn initramfs_limit_bytes(&self) -> u64 {
        REGISTER_BLOCK_BELOW_TOP_BYTES - 32 * MIB
    }
}

/// The multiple that a window's size needs for so many devices.
pub(super) fn window_size_multiple(devices: usize) -> u64 {
    WINDOW_ALIGNMENT_BYTES * devices as u64
}
