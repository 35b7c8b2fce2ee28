// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The one description of the guest's machine.
//!
//! QEMU's options, the ACPI tables, the host bridge's registers, the kernel's command line and the
//! device's configuration are all derived from a [`Topology`]; no address is written anywhere else.

mod layout;
mod performance;
pub mod presets;
mod validation;

use chmu_spec::address::Hpa;

pub use performance::DevicePerformance;
pub use validation::TopologyError;

/// One kibibyte, in bytes.
pub const KIB: u64 = 1 << 10;
/// One mebibyte, in bytes.
pub const MIB: u64 = 1 << 20;
/// One gibibyte, in bytes.
pub const GIB: u64 = 1 << 30;

/// CXL windows start and end at multiples of this (CXL r3.2 9.18.1.3).
pub const WINDOW_ALIGNMENT_BYTES: u64 = 256 * MIB;

/// The whole machine. A node's index is its proximity domain and Linux' node number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// DRAM nodes first, then the nodes that are CXL windows.
    pub nodes: Vec<Node>,
    /// `distances[a][b]` as in ACPI SLIT: 10 on the diagonal, more elsewhere.
    pub distances: Vec<Vec<u8>>,
    /// The CXL host bridges; a window names some of them by their indices.
    pub host_bridges: Vec<HostBridge>,
}

/// A CXL host bridge: the devices of its windows hang at its root ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostBridge {
    /// Its PCI bus number; also its ACPI `_UID`.
    pub bus: u8,
    /// The node whose processors are closest; none when several are.
    pub node: Option<usize>,
    /// How it looks from each node with processors: the way to it, without any memory.
    pub access: Vec<Access>,
}

/// A NUMA node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Memory, a multiple of 256 MiB.
    pub memory_bytes: u64,
    /// Processors; none for a CXL node.
    pub processors: u32,
    /// The node whose processors are closest; the node itself when it has processors.
    pub initiator: usize,
    /// How this node's memory looks from each node with processors.
    pub access: Vec<Access>,
    /// Present when the memory is CXL memory.
    pub window: Option<Window>,
}

/// What ACPI HMAT says of one initiator and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The node with the processors.
    pub initiator: usize,
    /// Read and write latency.
    pub latency_ns: u32,
    /// Read and write bandwidth.
    pub bandwidth_mib_per_s: u32,
}

/// A CXL fixed memory window that covers exactly one node, as it is wished for; where it lies is
/// in the [`PlacedWindow`], and what each device behind it decodes in the device's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The devices behind it; several are interleaved in this order.
    pub devices: Vec<Device>,
    /// Consecutive bytes on one device before the next one's turn: 256 B to 16 KiB. Without
    /// meaning for one device.
    pub granularity_bytes: u32,
    /// The host bridges that the firmware spreads the window over, by their indices: the devices
    /// are dealt out to them in turn. Each spreads its part over its own devices.
    pub host_bridges: Vec<usize>,
}

impl Window {
    /// Devices behind each of the window's host bridges.
    pub fn devices_per_bridge(&self) -> usize {
        self.devices.len() / self.host_bridges.len().max(1)
    }
}

/// A CXL memory device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Device serial number (PCI Express 7.9.3), non-zero and unique.
    pub serial_number: u64,
}

/// A window with everything that the layout says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedWindow<'a> {
    /// Its node.
    pub node: usize,
    /// First address.
    pub base: Hpa,
    /// Bytes.
    pub size_bytes: u64,
    /// The root port of its first device; the others follow.
    pub first_root_port: usize,
    /// The description.
    pub window: &'a Window,
}

/// A device with its place in the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedDevice<'a> {
    /// Counted over all windows; also the root port's number.
    pub index: usize,
    /// Position in the window's interleave set.
    pub position: usize,
    /// The window it serves.
    pub window: PlacedWindow<'a>,
    /// The description.
    pub device: Device,
    /// Processors of the whole machine, each of which may access the device's memory.
    pub processors: u32,
    /// The device's part of its node's figures.
    pub performance: DevicePerformance,
}

impl PlacedDevice<'_> {
    /// The index of the host bridge it is behind; windows have at least one.
    pub fn host_bridge(&self) -> Option<usize> {
        let bridges = &self.window.window.host_bridges;
        bridges
            .get(self.position.checked_rem(bridges.len())?)
            .copied()
    }

    /// The device's own memory: its share of the window.
    pub fn memory_bytes(&self) -> u64 {
        self.window.size_bytes / self.window.window.devices.len() as u64
    }
}

impl Default for Topology {
    /// Two processors on 2 GiB of DRAM, and a device of 1 GiB that is three times slower.
    fn default() -> Self {
        presets::single()
    }
}

#[cfg(test)]
mod tests;
