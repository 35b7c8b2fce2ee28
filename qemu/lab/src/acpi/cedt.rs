// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CXL Early Discovery Table (CXL r3.2 9.18.1): the host bridges and the windows.
//!
//! QEMU emits a host bridge structure that points at its own registers and, without `cxl-fmw`, no
//! window.

use crate::host_bridge;
use crate::topology::{PlacedWindow, Topology};

const TABLE_REVISION: u8 = 1;
const HOST_BRIDGE_STRUCTURE: u8 = 0;
const FIXED_MEMORY_WINDOW: u8 = 1;
/// A CXL 2.0 host bridge: its block is 64 KiB of component registers.
const HOST_BRIDGE_VERSION: u32 = 1;
const MODULO_ARITHMETIC: u8 = 0;
/// Type 3 (bit 1), volatile (bit 2), fixed configuration (bit 4).
const RESTRICTIONS: u16 = 0x16;

pub(super) fn build(topology: &Topology) -> Vec<u8> {
    let bridges = 0..topology.host_bridges.len();
    let mut content: Vec<u8> = bridges
        .flat_map(|index| host_bridge_structure(topology, index))
        .collect();
    for window in topology.windows() {
        content.extend(fixed_memory_window(topology, &window));
    }
    super::table(*b"CEDT", TABLE_REVISION, &content)
}

fn host_bridge_structure(topology: &Topology, index: usize) -> Vec<u8> {
    let block = topology.register_block(index);
    let mut bytes = vec![HOST_BRIDGE_STRUCTURE, 0];
    bytes.extend(32_u16.to_le_bytes());
    bytes.extend(uid(topology, index));
    bytes.extend(HOST_BRIDGE_VERSION.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(block.start.0.to_le_bytes());
    bytes.extend(block.bytes.to_le_bytes());
    bytes
}

/// A host bridge's `_UID`.
fn uid(topology: &Topology, host_bridge: usize) -> [u8; 4] {
    u32::from(topology.host_bridges[host_bridge].bus).to_le_bytes()
}

/// The window as the firmware spreads it over its host bridges.
fn fixed_memory_window(topology: &Topology, window: &PlacedWindow<'_>) -> Vec<u8> {
    let mut bytes = vec![FIXED_MEMORY_WINDOW, 0];
    let bridges = &window.window.host_bridges;
    let length = 36 + 4 * bridges.len();
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(window.base.0.to_le_bytes());
    bytes.extend(window.size_bytes.to_le_bytes());
    bytes.extend([
        host_bridge::encoded_ways(bridges.len()),
        MODULO_ARITHMETIC,
        0,
        0,
    ]);
    let granularity = host_bridge::encoded_granularity(window.window.granularity_bytes);
    bytes.extend(u32::from(granularity).to_le_bytes());
    bytes.extend(RESTRICTIONS.to_le_bytes());
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend(bridges.iter().flat_map(|&bridge| uid(topology, bridge)));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::presets::Preset;

    #[test]
    fn a_window_names_each_of_its_host_bridges() {
        let topology = "interleaved-3".parse::<Preset>().unwrap().topology();
        let table = build(&topology);
        assert_eq!(table.len(), 36 + 3 * 32 + 48);
        let window = &table[36 + 3 * 32..];
        // Length 48, three ways.
        assert_eq!((&window[..4], window[24]), (&[1, 0, 48, 0][..], 8));
        let targets: Vec<_> = window[36..].chunks(4).map(|it| it[0]).collect();
        assert_eq!(targets, [52, 102, 152]);
    }

    #[test]
    fn default_topology_gives_these_bytes() {
        #[rustfmt::skip]
        let expected: [u8; 108] = [
            b'C', b'E', b'D', b'T', 0x6c, 0, 0, 0, 1, 0x00,
            b'B', b'O', b'C', b'H', b'S', b' ', b'B', b'X', b'P', b'C', b' ', b' ', b' ', b' ',
            2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            // Host bridge 52, version 1, registers at 0x7000_0000, 64 KiB.
            0, 0, 32, 0, 52, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0x70, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
            // Window at 4 GiB, 1 GiB, one way, 256 bytes, target 52.
            1, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0x16, 0, 0, 0, 52, 0, 0, 0,
        ];
        let table = build(&Topology::default());
        assert_eq!(table.len(), expected.len());
        for (offset, (found, wanted)) in table.iter().zip(expected).enumerate() {
            // The checksum and the creator are acpi_tables' own.
            if offset != 9 && !(28..36).contains(&offset) {
                assert_eq!(*found, wanted, "at {offset:#x}");
            }
        }
        assert_eq!(
            table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)),
            0
        );
    }
}
