// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the ready-made topologies are put together from.

use crate::topology::{Access, Device, HostBridge, Node, Window};

/// Serial numbers start here; each window has a row of sixteen.
const FIRST_SERIAL_NUMBER: u64 = 0xc4a0_0001;
const SERIAL_NUMBERS_PER_WINDOW: u64 = 16;
/// Interleave granularity, in bytes: the finest, so that the devices share every page.
pub(super) const GRANULARITY_BYTES: u32 = 256;

/// Latency and bandwidth as seen from each node with processors, in their order.
pub(super) type Figures<'a> = &'a [(u32, u32)];

/// From nodes 0, 1, ... so many ns and GiB/s.
pub(super) fn access(figures: Figures<'_>) -> Vec<Access> {
    let initiators = figures.iter().enumerate();
    initiators
        .map(|(initiator, &(latency_ns, gib_per_s))| Access {
            initiator,
            latency_ns,
            bandwidth_mib_per_s: gib_per_s << 10,
        })
        .collect()
}

/// DRAM at processors.
pub(super) fn socket(
    node: usize,
    memory_bytes: u64,
    processors: u32,
    figures: Figures<'_>,
) -> Node {
    Node {
        memory_bytes,
        processors,
        initiator: node,
        access: access(figures),
        window: None,
    }
}

/// Memory without processors, next to those of `initiator`.
pub(super) fn memory(initiator: usize, memory_bytes: u64, figures: Figures<'_>) -> Node {
    Node {
        memory_bytes,
        processors: 0,
        initiator,
        access: access(figures),
        window: None,
    }
}

/// CXL memory: the `number`th window, with so many devices behind each of `host_bridges`.
pub(super) fn cxl(number: u64, devices: u64, host_bridges: &[usize], node: Node) -> Node {
    let first = FIRST_SERIAL_NUMBER + number * SERIAL_NUMBERS_PER_WINDOW;
    let serial_numbers = first..first + devices * host_bridges.len() as u64;
    Node {
        window: Some(Window {
            devices: serial_numbers
                .map(|serial_number| Device { serial_number })
                .collect(),
            granularity_bytes: GRANULARITY_BYTES,
            host_bridges: host_bridges.to_owned(),
        }),
        ..node
    }
}

/// A host bridge on PCI bus `bus`, at the processors of `node`.
pub(super) fn bridge(bus: u8, node: Option<usize>, figures: Figures<'_>) -> HostBridge {
    HostBridge {
        bus,
        node,
        access: access(figures),
    }
}

/// A SLIT from what is above the diagonal, row by row; both directions are alike.
pub(super) fn distances(nodes: usize, above: &[u8]) -> Vec<Vec<u8>> {
    let mut matrix = vec![vec![10; nodes]; nodes];
    let pairs = (0..nodes).flat_map(|from| (from + 1..nodes).map(move |to| (from, to)));
    for ((from, to), &distance) in pairs.zip(above) {
        matrix[from][to] = distance;
        matrix[to][from] = distance;
    }
    matrix
}
