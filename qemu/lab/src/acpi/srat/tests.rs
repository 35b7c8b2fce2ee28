// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use super::*;

/// QEMU 11.1.3's SRAT for the default topology, without the table header.
#[rustfmt::skip]
const QEMU_CONTENT: [u8; 204] = [
    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    // Processors 0 and 1 on node 0.
    0, 16, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 16, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    // Node 0 from 0 to 640 KiB.
    1, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    // Node 0 from 1 MiB to 2 GiB.
    1, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f,
    0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    // Node 1 from 4 GiB to 5 GiB.
    1, 40, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40,
    0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    // Padding.
    1, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn the_hot_pluggable_flag_and_the_host_bridge_differ_from_qemu() {
    let table = build(&Topology::default());
    let mut expected = QEMU_CONTENT.to_vec();
    expected[12 + 2 * 16 + 2 * 40 + 28] |= 2;
    // The generic port: domain 2, ACPI0016 number 52, enabled.
    expected.extend([6, 32, 0, 0, 2, 0, 0, 0]);
    expected.extend(b"ACPI0016");
    expected.extend([52, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&table[36..], expected);
    assert_eq!(table[4..8], 272_u32.to_le_bytes());
    assert_eq!(
        table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)),
        0
    );
}

#[test]
fn dram_beyond_two_gibibytes_continues_above_four() {
    let mut topology = Topology::default();
    topology.nodes[0].memory_bytes += 256 * MIB;
    let ranges = memory_ranges(&topology, 0);
    let found: Vec<_> = ranges.iter().map(|r| (r.start.0, r.bytes)).collect();
    let low = (0x10_0000, 0x7ff0_0000);
    assert_eq!(found, [(0, 0xa_0000), low, (0x1_0000_0000, 0x1000_0000)]);
}
