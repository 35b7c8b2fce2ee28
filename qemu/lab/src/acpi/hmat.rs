// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Heterogeneous Memory Attribute Table (ACPI 6.5 5.2.27): QEMU's own figures, and those of the way
//! to each host bridge, which QEMU gives only to a machine with one more node.
//!
//! With them Linux adds up what the whole way to a CXL device costs (Linux `drivers/cxl/core/cdat.c`),
//! and can tell whether a window has the quality of service that its devices have.

use std::cmp::Reverse;

use crate::topology::{Access, Topology};

const TABLE_REVISION: u8 = 2;
const MEMORY_ATTRIBUTES: u16 = 0;
const LATENCY_BANDWIDTH: u16 = 1;
/// Memory attributes: the initiator is named.
const INITIATOR_VALID: u16 = 1 << 0;
const ACCESS_LATENCY: u8 = 0;
const ACCESS_BANDWIDTH: u8 = 3;
const PICOSECONDS_PER_NANOSECOND: u64 = 1000;
/// An entry of 0xffff says that nothing is known.
const MAXIMUM_ENTRY: u32 = 0xfffe;
const UNKNOWN: u16 = 0xffff;

pub(super) fn build(topology: &Topology) -> Vec<u8> {
    let mut content = vec![0; 4];
    for (index, node) in topology.nodes.iter().enumerate() {
        content.extend(memory_attributes(index, nearest(&node.access)));
    }
    let latency = figures(topology, |access| access.latency_ns);
    content.extend(latency_bandwidth(
        topology,
        ACCESS_LATENCY,
        PICOSECONDS_PER_NANOSECOND,
        &latency,
    ));
    let bandwidth = figures(topology, |access| access.bandwidth_mib_per_s);
    content.extend(latency_bandwidth(topology, ACCESS_BANDWIDTH, 1, &bandwidth));
    super::table(*b"HMAT", TABLE_REVISION, &content)
}

/// The initiator that the memory is fastest for; none when several are equal, and Linux compares
/// the figures itself.
fn nearest(access: &[Access]) -> Option<usize> {
    let key = |access: &Access| (access.latency_ns, Reverse(access.bandwidth_mib_per_s));
    let best = access.iter().map(key).min()?;
    let mut equals = access.iter().filter(|access| key(access) == best);
    let first = equals.next()?.initiator;
    equals.next().is_none().then_some(first)
}

fn memory_attributes(node: usize, initiator: Option<usize>) -> Vec<u8> {
    let flags = initiator.map_or(0, |_| INITIATOR_VALID);
    let mut bytes = MEMORY_ATTRIBUTES.to_le_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(40_u32.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(super::proximity_domain(initiator.unwrap_or(0)));
    bytes.extend(super::proximity_domain(node));
    bytes.resize(40, 0);
    bytes
}

/// The nodes with processors.
fn initiators(topology: &Topology) -> Vec<usize> {
    let nodes = topology.nodes.iter().enumerate();
    let with_processors = nodes.filter(|(_, node)| node.processors > 0);
    with_processors.map(|(index, _)| index).collect()
}

/// For each initiator, the figures of all nodes and then of the host bridges; 0 where nothing is
/// known.
fn figures(topology: &Topology, figure: impl Fn(&Access) -> u32) -> Vec<u32> {
    let nodes = topology.nodes.iter().map(|node| node.access.as_slice());
    let bridges = topology.host_bridges.iter();
    let targets: Vec<_> = nodes
        .chain(bridges.map(|it| it.access.as_slice()))
        .collect();
    let rows = initiators(topology).into_iter().flat_map(|initiator| {
        let of = |accesses: &&[Access]| {
            let mut accesses = accesses.iter();
            let access = accesses.find(|access| access.initiator == initiator);
            access.map_or(0, &figure)
        };
        targets.iter().map(of).collect::<Vec<_>>()
    });
    rows.collect()
}

/// Figures that are too large for an entry are counted in larger units.
fn latency_bandwidth(topology: &Topology, data_type: u8, unit: u64, figures: &[u32]) -> Vec<u8> {
    let initiators = initiators(topology);
    let count = topology.nodes.len() + topology.host_bridges.len();
    let targets: Vec<usize> = (0..count).collect();
    let largest = figures.iter().copied().max().unwrap_or(0);
    let shift = (0..u32::BITS)
        .find(|shift| largest >> shift <= MAXIMUM_ENTRY)
        .unwrap_or(0);
    let length = 32 + 4 * (initiators.len() + targets.len()) + 2 * figures.len();
    let mut bytes = LATENCY_BANDWIDTH.to_le_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend([0, data_type, 0, 0]);
    for domains in [&initiators, &targets] {
        let count = u32::try_from(domains.len()).unwrap_or(u32::MAX);
        bytes.extend(count.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend((unit << shift).to_le_bytes());
    for domain in initiators.iter().chain(&targets) {
        bytes.extend(super::proximity_domain(*domain));
    }
    for figure in figures {
        let entry = match figure {
            0 => UNKNOWN,
            figure => u16::try_from(figure >> shift).unwrap_or(UNKNOWN),
        };
        bytes.extend(entry.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_topology_gives_these_bytes() {
        #[rustfmt::skip]
        let expected: [u8; 192] = [
            0, 0, 0, 0,
            // Node 0 and node 1, both nearest to the processors of node 0.
            0, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            // Latency of an access from 0 to 0, 1 and the host bridge: 100, 300, 100 ns.
            1, 0, 0, 0, 54, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0,
            0, 0, 0, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,
            100, 0, 44, 1, 100, 0,
            // Bandwidth, in units of 2 MB/s: 51200, 10240, 51200.
            1, 0, 0, 0, 54, 0, 0, 0, 0, 3, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0,
            0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,
            0, 0xc8, 0, 0x28, 0, 0xc8,
        ];
        let table = build(&Topology::default());
        assert_eq!(table[36..], expected);
        assert_eq!(&table[..4], b"HMAT");
        assert_eq!((table[8], table[24]), (2, 2));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let mut topology = Topology::default();
        let mut second = topology.nodes[0].clone();
        second.initiator = 1;
        second.access[0].initiator = 1;
        topology.nodes.insert(1, second);
        // From 0 and from 1 to nodes 0, 1 and 2, and to the host bridge.
        let figures = figures(&topology, |access| access.latency_ns);
        assert_eq!(figures, [100, 0, 300, 100, 0, 100, 0, 0]);
    }
}
