// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! System Resource Affinity Table (ACPI 6.5 5.2.16): QEMU's own content, with the CXL nodes marked
//! hot-pluggable, and each host bridge as a generic port.
//!
//! With `movable_node` on its command line Linux then keeps its own memory off those nodes: all of
//! it becomes `ZONE_MOVABLE` (Linux `mm/memblock.c`, `mm/mm_init.c`).

use chmu_spec::address::{Hpa, HpaRange};

use super::proximity_domain;
use crate::topology::{HostBridge, KIB, MIB, Topology};

const TABLE_REVISION: u8 = 1;
const PROCESSOR_AFFINITY: u8 = 0;
const MEMORY_AFFINITY: u8 = 1;
const GENERIC_PORT_AFFINITY: u8 = 6;
/// Generic port: the device is named by its ACPI identifiers.
const ACPI_DEVICE_HANDLE: u8 = 0;
/// A CXL host bridge.
const HOST_BRIDGE_HID: [u8; 8] = *b"ACPI0016";
const ENABLED: u32 = 1 << 0;
const HOT_PLUGGABLE: u32 = 1 << 1;
/// Video memory and firmware lie from here to 1 MiB.
const HOLE_START: u64 = 640 * KIB;
const HOLE_END: u64 = MIB;

pub(super) fn build(topology: &Topology) -> Vec<u8> {
    let mut content = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut next_apic_id = 0;
    for (index, node) in topology.nodes.iter().enumerate() {
        for _ in 0..node.processors {
            content.extend(processor_affinity(index, next_apic_id));
            next_apic_id += 1;
        }
    }
    let mut memory_entries = 0;
    for (index, node) in topology.nodes.iter().enumerate() {
        let flags = match node.window {
            Some(_) => ENABLED | HOT_PLUGGABLE,
            None => ENABLED,
        };
        for range in memory_ranges(topology, index) {
            content.extend(memory_affinity(index, range, flags));
            memory_entries += 1;
        }
    }
    // QEMU pads with disabled entries, two more than there are nodes.
    let nothing = HpaRange {
        start: Hpa(0),
        bytes: 0,
    };
    for _ in memory_entries..topology.nodes.len() + 2 {
        content.extend(memory_affinity(0, nothing, 0));
    }
    for (index, bridge) in topology.host_bridges.iter().enumerate() {
        content.extend(generic_port_affinity(topology.nodes.len() + index, bridge));
    }
    super::table(*b"SRAT", TABLE_REVISION, &content)
}

/// Each processor has a socket of its own, so APIC ids count up.
fn processor_affinity(node: usize, apic_id: u8) -> [u8; 16] {
    let [low, rest @ ..] = proximity_domain(node);
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&[PROCESSOR_AFFINITY, 16, low, apic_id]);
    bytes[4..8].copy_from_slice(&ENABLED.to_le_bytes());
    bytes[9..12].copy_from_slice(&rest);
    bytes
}

fn memory_affinity(node: usize, range: HpaRange, flags: u32) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..2].copy_from_slice(&[MEMORY_AFFINITY, 40]);
    bytes[2..6].copy_from_slice(&proximity_domain(node));
    bytes[8..16].copy_from_slice(&range.start.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&range.bytes.to_le_bytes());
    bytes[28..32].copy_from_slice(&flags.to_le_bytes());
    bytes
}

/// A host bridge as a place of its own, behind the nodes, that HMAT has figures for.
fn generic_port_affinity(domain: usize, bridge: &HostBridge) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&[GENERIC_PORT_AFFINITY, 32, 0, ACPI_DEVICE_HANDLE]);
    bytes[4..8].copy_from_slice(&proximity_domain(domain));
    bytes[8..16].copy_from_slice(&HOST_BRIDGE_HID);
    bytes[16..20].copy_from_slice(&u32::from(bridge.bus).to_le_bytes());
    bytes[24..28].copy_from_slice(&ENABLED.to_le_bytes());
    bytes
}

/// The node's memory without the hole below 1 MiB.
fn memory_ranges(topology: &Topology, node: usize) -> Vec<HpaRange> {
    let mut ranges = topology.memory_ranges(node);
    if let Some(first) = ranges.first_mut()
        && first.start.0 == 0
    {
        let end = first.bytes;
        first.bytes = HOLE_START;
        let above = HpaRange {
            start: Hpa(HOLE_END),
            bytes: end - HOLE_END,
        };
        ranges.insert(1, above);
    }
    ranges
}

#[cfg(test)]
mod tests;
