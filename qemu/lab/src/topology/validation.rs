// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a topology must look like, said in sentences.

use super::layout::window_size_multiple;
use super::{
    Access, HostBridge, MIB, Node, PlacedDevice, Topology, WINDOW_ALIGNMENT_BYTES, Window,
};

/// Fewer leave the low memory too small for kernel, initramfs and register block.
const DRAM_MINIMUM_BYTES: u64 = 1024 * MIB;
/// Processors get APIC ids below 255, the limit of an SRAT entry of type 0.
const PROCESSOR_LIMIT: u32 = 128;
/// ACPI SLIT: a node's distance to itself.
const LOCAL_DISTANCE: u8 = 10;

/// Why a topology cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// Nobody would run.
    #[error("Node 0 has no processors; the first node must be DRAM with processors")]
    NoProcessors,
    /// Too many processors.
    #[error("The topology has {0} processors; at most {PROCESSOR_LIMIT} are possible")]
    TooManyProcessors(u32),
    /// The DRAM is too small.
    #[error("The DRAM nodes have {0} bytes; at least 1 GiB is needed")]
    TooLittleDram(u64),
    /// A node's memory has an odd size.
    #[error("Node {node} has {bytes:#x} bytes; a multiple of 256 MiB is needed")]
    MemorySize {
        /// The node.
        node: usize,
        /// Its memory.
        bytes: u64,
    },
    /// A DRAM node follows a CXL node.
    #[error("Node {0} is DRAM but follows a CXL node; DRAM nodes come first")]
    DramAfterWindow(usize),
    /// A CXL node with processors.
    #[error("Node {0} is CXL memory and cannot have processors")]
    ProcessorsOnWindow(usize),
    /// An initiator without processors.
    #[error("Node {node} names node {initiator} as initiator, which has no processors")]
    Initiator {
        /// The node.
        node: usize,
        /// What it names.
        initiator: usize,
    },
    /// HMAT would have a hole and Linux would take the node for DRAM.
    #[error(
        "Node {node} gives no latency and bandwidth as seen from node {initiator}, which has processors"
    )]
    AccessMissing {
        /// The node.
        node: usize,
        /// The initiator.
        initiator: usize,
    },
    /// The matrix has the wrong shape or content.
    #[error(
        "The distance from node {from} to node {to} is missing or wrong; 10 is needed on the diagonal, more elsewhere"
    )]
    Distance {
        /// Row.
        from: usize,
        /// Column.
        to: usize,
    },
    /// Interleave ways that Linux cannot do: three ways go over host bridges only.
    #[error(
        "Node {node} has {devices} devices behind {bridges} host bridges; 1, 2, 4 or 8 behind each of 1, 2, 3, 4, 6 or 8 can share a window"
    )]
    InterleaveWays {
        /// The node.
        node: usize,
        /// Its devices.
        devices: usize,
        /// Its host bridges.
        bridges: usize,
    },
    /// An interleave granularity that does not exist.
    #[error(
        "Node {node} interleaves by {bytes} bytes; 256, 512, 1024, 2048, 4096, 8192 or 16384 are possible"
    )]
    InterleaveGranularity {
        /// The node.
        node: usize,
        /// Its granularity.
        bytes: u32,
    },
    /// The shares of the devices are odd.
    #[error(
        "Node {node} has {bytes:#x} bytes for {devices} devices; each needs a multiple of 256 MiB"
    )]
    WindowSize {
        /// The node.
        node: usize,
        /// Its memory.
        bytes: u64,
        /// Its devices.
        devices: usize,
    },
    /// Serial numbers tell devices apart.
    #[error("Serial number {0:#x} is zero or used twice")]
    SerialNumber(u64),
    /// The bus numbers below a host bridge must exist and be its own.
    #[error(
        "PCI bus {bus} leaves no room for {devices} root ports below {end}; bus 0 is the machine's"
    )]
    HostBridgeBus {
        /// What was given.
        bus: u8,
        /// Root ports needed.
        devices: usize,
        /// The first bus that is not free: the next host bridge's, or 256.
        end: usize,
    },
    /// The devices need a host bridge that is there.
    #[error("Node {node} names host bridge {host_bridge}, and there are {count}")]
    NoHostBridge {
        /// The node.
        node: usize,
        /// What it names.
        host_bridge: usize,
        /// How many there are.
        count: usize,
    },
    /// HMAT would have a hole.
    #[error(
        "Host bridge {host_bridge} gives no latency and bandwidth as seen from node {initiator}, which has processors"
    )]
    BridgeAccessMissing {
        /// The host bridge.
        host_bridge: usize,
        /// The initiator.
        initiator: usize,
    },
    /// A host bridge at a node without processors.
    #[error("Host bridge {host_bridge} is at node {node}, which has no processors")]
    HostBridgeNode {
        /// The host bridge.
        host_bridge: usize,
        /// The node.
        node: usize,
    },
}

impl Topology {
    /// Says why this topology cannot be built, if it cannot.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), TopologyError> {
        if self.nodes.first().is_none_or(|node| node.processors == 0) {
            return Err(TopologyError::NoProcessors);
        }
        let processors = self.nodes.iter().map(|node| node.processors).sum();
        if processors > PROCESSOR_LIMIT {
            return Err(TopologyError::TooManyProcessors(processors));
        }
        let mut window_seen = false;
        for (index, node) in self.nodes.iter().enumerate() {
            if window_seen && node.window.is_none() {
                return Err(TopologyError::DramAfterWindow(index));
            }
            window_seen |= node.window.is_some();
            self.validate_node(index, node)?;
        }
        let dram = self.nodes.iter().filter(|node| node.window.is_none());
        let dram_bytes = dram.map(|node| node.memory_bytes).sum();
        if dram_bytes < DRAM_MINIMUM_BYTES {
            return Err(TopologyError::TooLittleDram(dram_bytes));
        }
        self.validate_distances()?;
        self.validate_devices()
    }

    fn validate_node(&self, index: usize, node: &Node) -> Result<(), TopologyError> {
        let bytes = node.memory_bytes;
        if bytes == 0 || !bytes.is_multiple_of(WINDOW_ALIGNMENT_BYTES) {
            return Err(TopologyError::MemorySize { node: index, bytes });
        }
        let has_processors = |node: usize| self.nodes.get(node).is_some_and(|n| n.processors > 0);
        let own_initiator = node.processors == 0 || node.initiator == index;
        if !has_processors(node.initiator) || !own_initiator {
            return Err(TopologyError::Initiator {
                node: index,
                initiator: node.initiator,
            });
        }
        if let Some(initiator) = self.unknown_initiator(&node.access) {
            return Err(TopologyError::AccessMissing {
                node: index,
                initiator,
            });
        }
        if let Some(window) = &node.window {
            validate_window(index, node, window)?;
        }
        Ok(())
    }

    /// A node with processors that `access` says nothing of.
    fn unknown_initiator(&self, access: &[Access]) -> Option<usize> {
        let is_known = |initiator: usize| {
            access.iter().any(|access| {
                access.initiator == initiator
                    && access.latency_ns > 0
                    && access.bandwidth_mib_per_s > 0
            })
        };
        let mut nodes = 0..self.nodes.len();
        nodes.find(|&node| self.nodes[node].processors > 0 && !is_known(node))
    }

    fn validate_distances(&self) -> Result<(), TopologyError> {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                let distance = self.distances.get(from).and_then(|row| row.get(to));
                let right = match distance {
                    None => false,
                    Some(&distance) if from == to => distance == LOCAL_DISTANCE,
                    Some(&distance) => distance > LOCAL_DISTANCE,
                };
                if !right {
                    return Err(TopologyError::Distance { from, to });
                }
            }
        }
        Ok(())
    }

    fn validate_devices(&self) -> Result<(), TopologyError> {
        let devices = self.devices();
        for (index, placed) in devices.iter().enumerate() {
            let serial_number = placed.device.serial_number;
            let earlier = &devices[..index];
            let twice = earlier
                .iter()
                .any(|other| other.device.serial_number == serial_number);
            if serial_number == 0 || twice {
                return Err(TopologyError::SerialNumber(serial_number));
            }
        }
        for placed in &devices {
            let bridges = &placed.window.window.host_bridges;
            let missing = bridges
                .iter()
                .find(|&&bridge| bridge >= self.host_bridges.len());
            if let Some(&host_bridge) = missing {
                return Err(TopologyError::NoHostBridge {
                    node: placed.window.node,
                    host_bridge,
                    count: self.host_bridges.len(),
                });
            }
        }
        let count_at = |index: usize| {
            let at = |placed: &&PlacedDevice<'_>| placed.host_bridge() == Some(index);
            devices.iter().filter(at).count()
        };
        for (index, bridge) in self.host_bridges.iter().enumerate() {
            self.validate_host_bridge(index, bridge, count_at(index))?;
        }
        Ok(())
    }

    fn validate_host_bridge(
        &self,
        index: usize,
        bridge: &HostBridge,
        devices: usize,
    ) -> Result<(), TopologyError> {
        let later = self.host_bridges.iter().enumerate();
        let later = later.filter(|(other, it)| *other != index && it.bus >= bridge.bus);
        let end = later.map(|(_, it)| usize::from(it.bus)).min();
        let end = end.unwrap_or(usize::from(u8::MAX) + 1);
        if bridge.bus == 0 || usize::from(bridge.bus) + devices >= end {
            return Err(TopologyError::HostBridgeBus {
                bus: bridge.bus,
                devices,
                end,
            });
        }
        let has_processors = |node: usize| self.nodes.get(node).is_some_and(|n| n.processors > 0);
        if let Some(node) = bridge.node.filter(|&node| !has_processors(node)) {
            return Err(TopologyError::HostBridgeNode {
                host_bridge: index,
                node,
            });
        }
        match self.unknown_initiator(&bridge.access) {
            None => Ok(()),
            Some(initiator) => Err(TopologyError::BridgeAccessMissing {
                host_bridge: index,
                initiator,
            }),
        }
    }
}

fn validate_window(index: usize, node: &Node, window: &Window) -> Result<(), TopologyError> {
    if node.processors > 0 {
        return Err(TopologyError::ProcessorsOnWindow(index));
    }
    let (devices, bridges) = (window.devices.len(), window.host_bridges.len());
    let is_even = matches!(bridges, 1 | 2 | 3 | 4 | 6 | 8) && devices.is_multiple_of(bridges);
    if !is_even || !matches!(window.devices_per_bridge(), 1 | 2 | 4 | 8) {
        return Err(TopologyError::InterleaveWays {
            node: index,
            devices,
            bridges,
        });
    }
    let granularity = window.granularity_bytes;
    if !granularity.is_power_of_two() || !(256..=16384).contains(&granularity) {
        return Err(TopologyError::InterleaveGranularity {
            node: index,
            bytes: granularity,
        });
    }
    if !node
        .memory_bytes
        .is_multiple_of(window_size_multiple(devices))
    {
        return Err(TopologyError::WindowSize {
            node: index,
            bytes: node.memory_bytes,
            devices,
        });
    }
    Ok(())
}
