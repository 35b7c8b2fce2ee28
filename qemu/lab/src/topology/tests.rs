// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use super::*;

fn two_windows() -> Topology {
    let mut topology = Topology::default();
    let mut second = topology.nodes[1].clone();
    second.window.as_mut().unwrap().devices =
        vec![Device { serial_number: 2 }, Device { serial_number: 3 }];
    topology.nodes.push(second);
    topology.distances = vec![vec![10, 20, 20], vec![20, 10, 30], vec![20, 30, 10]];
    topology
}

fn error(change: impl FnOnce(&mut Topology)) -> Option<TopologyError> {
    let mut topology = Topology::default();
    change(&mut topology);
    topology.validate().err()
}

#[test]
fn default_window_starts_at_four_gibibytes() {
    let topology = Topology::default();
    topology.validate().unwrap();
    let windows = topology.windows();
    assert_eq!(windows.len(), 1);
    assert_eq!(windows[0].base, Hpa(4 * GIB));
    assert_eq!(windows[0].size_bytes, GIB);
}

#[test]
fn nodes_cover_all_memory_once_and_leave_the_pci_hole() {
    let mut topology = two_windows();
    for dram_bytes in [GIB, 2 * GIB, 2 * GIB + 256 * MIB, 6 * GIB] {
        topology.nodes[0].memory_bytes = dram_bytes;
        topology.validate().unwrap();
        let mut ranges: Vec<_> = (0..3)
            .flat_map(|node| topology.memory_ranges(node))
            .collect();
        ranges.sort_by_key(|range| range.start.0);
        let total: u64 = ranges.iter().map(|range| range.bytes).sum();
        assert_eq!(total, topology.memory_bytes());
        for pair in ranges.windows(2) {
            let end = pair[0].start.0 + pair[0].bytes;
            assert!(end <= pair[1].start.0, "{pair:x?}");
        }
        for range in &ranges {
            let end = range.start.0 + range.bytes;
            assert!(end <= 2 * GIB || range.start.0 >= 4 * GIB, "{range:x?}");
        }
    }
}

#[test]
fn the_register_block_lies_in_low_dram() {
    for dram_bytes in [GIB, 3 * GIB] {
        let mut topology = Topology::default();
        topology.nodes[0].memory_bytes = dram_bytes;
        let block = topology.register_blocks();
        let end = block.start.0 + block.bytes;
        assert!(block.start.0.is_multiple_of(block.bytes));
        assert!(end + topology.initramfs_limit_bytes() < topology.low_memory_bytes());
    }
}

#[test]
fn devices_are_counted_over_all_windows() {
    let topology = two_windows();
    topology.validate().unwrap();
    let found: Vec<_> = topology
        .devices()
        .iter()
        .map(|placed| {
            (
                placed.index,
                placed.position,
                placed.window.node,
                placed.memory_bytes(),
            )
        })
        .collect();
    let half = GIB / 2;
    assert_eq!(found, [(0, 0, 1, GIB), (1, 0, 2, half), (2, 1, 2, half)]);
}

#[test]
fn what_cannot_be_built_is_refused() {
    use TopologyError as E;
    let bytes = GIB + 1;
    assert_eq!(error(|t| t.nodes[0].processors = 0), Some(E::NoProcessors));
    assert_eq!(
        error(|t| t.nodes[0].processors = 129),
        Some(E::TooManyProcessors(129))
    );
    assert_eq!(
        error(|t| t.nodes[1].memory_bytes = bytes),
        Some(E::MemorySize { node: 1, bytes })
    );
    assert_eq!(
        error(|t| t.nodes[0].memory_bytes = 256 * MIB),
        Some(E::TooLittleDram(256 * MIB))
    );
    assert_eq!(
        error(|t| t.nodes[1].access.clear()),
        Some(E::AccessMissing {
            node: 1,
            initiator: 0
        })
    );
    assert_eq!(
        error(|t| t.distances[0][1] = 10),
        Some(E::Distance { from: 0, to: 1 })
    );
    assert_eq!(
        error(|t| t.nodes[1].window.as_mut().unwrap().devices.clear()),
        Some(E::InterleaveWays {
            node: 1,
            devices: 0,
            bridges: 1
        })
    );
    let three = |t: &mut Topology| {
        let window = t.nodes[1].window.as_mut().unwrap();
        window.devices = [1, 2, 3]
            .map(|serial_number| Device { serial_number })
            .into();
    };
    assert_eq!(
        error(three),
        Some(E::InterleaveWays {
            node: 1,
            devices: 3,
            bridges: 1
        })
    );
    assert_eq!(
        error(|t| t.nodes[1].window.as_mut().unwrap().granularity_bytes = 128),
        Some(E::InterleaveGranularity {
            node: 1,
            bytes: 128
        })
    );
    assert_eq!(
        error(|t| t.host_bridges[0].bus = 255),
        Some(E::HostBridgeBus {
            bus: 255,
            devices: 1,
            end: 256
        })
    );
    assert_eq!(
        error(|t| t.host_bridges.push(t.host_bridges[0].clone())),
        Some(E::HostBridgeBus {
            bus: 52,
            devices: 1,
            end: 52
        })
    );
    assert_eq!(
        error(|t| t.host_bridges.clear()),
        Some(E::NoHostBridge {
            node: 1,
            host_bridge: 0,
            count: 0
        })
    );
    assert_eq!(
        error(|t| t.host_bridges[0].access.clear()),
        Some(E::BridgeAccessMissing {
            host_bridge: 0,
            initiator: 0
        })
    );
    assert_eq!(
        error(|t| t.host_bridges[0].node = Some(1)),
        Some(E::HostBridgeNode {
            host_bridge: 0,
            node: 1
        })
    );
    let mut twins = two_windows();
    twins.nodes[2].window.as_mut().unwrap().devices[1].serial_number = 2;
    assert_eq!(twins.validate(), Err(E::SerialNumber(2)));
}
