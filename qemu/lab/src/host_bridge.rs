// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The host bridges' component registers as firmware leaves them (CXL r3.2 8.2.4): one committed
//! HDM decoder per window.
//!
//! The bytes lie in DRAM, see [`Topology::register_block`]. Linux only reads them.

use crate::topology::{PlacedWindow, Topology};

/// CXL.cachemem registers start here within the block.
const CACHEMEM_OFFSET: usize = 0x1000;
/// HDM decoder capability, from the start of the CXL.cachemem registers.
const HDM_DECODER_OFFSET: usize = 0x100;
const DECODER_STRIDE: usize = 0x20;

/// Capability id 1, version 1, CXL.cachemem version 1, one capability follows.
const CAPABILITY_HEADER: u32 = 0x0111_0001;
/// HDM decoder capability: id 5, version 1.
const HDM_DECODER_ID: u32 = 5 | (1 << 16);
/// The decoders interleave by address bits 11:8 and 14:12.
const INTERLEAVE_CAPABLE: u32 = (1 << 8) | (1 << 9);
/// The decoders do 3, 6 and 12 ways.
const THREE_WAYS_CAPABLE: u32 = 1 << 11;
/// A decoder's target list has eight places.
const TARGET_COUNT: u32 = 8 << 4;
const DECODER_ENABLE: u32 = 1 << 1;
/// Lock on commit (bit 8), commit (bit 9), committed (bit 10), host-only memory (bit 12).
const DECODER_COMMITTED: u32 = 0x1700;

/// The content of all register blocks, 64 KiB for each host bridge.
pub fn register_image(topology: &Topology) -> Vec<u8> {
    let bridges = 0..topology.host_bridges.len();
    bridges.flat_map(|index| block(topology, index)).collect()
}

fn block(topology: &Topology, host_bridge: usize) -> Vec<u8> {
    let size = topology.register_block(host_bridge).bytes;
    let mut image = Image(vec![0; usize::try_from(size).unwrap_or(usize::MAX)]);
    let mut windows = topology.windows();
    windows.retain(|window| window.window.host_bridges.contains(&host_bridge));
    let capability = CACHEMEM_OFFSET + HDM_DECODER_OFFSET;
    image.put(CACHEMEM_OFFSET, CAPABILITY_HEADER);
    let pointer = u32::try_from(HDM_DECODER_OFFSET).unwrap_or(u32::MAX) << 20;
    image.put(CACHEMEM_OFFSET + 4, pointer | HDM_DECODER_ID);
    image.put(
        capability,
        encoded_decoder_count(windows.len())
            | TARGET_COUNT
            | INTERLEAVE_CAPABLE
            | THREE_WAYS_CAPABLE,
    );
    image.put(capability + 4, DECODER_ENABLE);
    for (index, window) in windows.iter().enumerate() {
        let offset = capability + 0x10 + index * DECODER_STRIDE;
        put_decoder(&mut image, offset, window, host_bridge);
    }
    image.0
}

/// The host bridge's own part of the window: the firmware has chosen among host bridges by the
/// lower address bits.
fn put_decoder(image: &mut Image, offset: usize, window: &PlacedWindow<'_>, host_bridge: usize) {
    image.put_wide(offset, window.base.0);
    image.put_wide(offset + 8, window.size_bytes);
    let devices = window.window.devices_per_bridge();
    let bridges = &window.window.host_bridges;
    let ways = u32::from(encoded_ways(devices));
    let granularity = match devices {
        // Not interleaved here; Linux knows only granularities that are powers of two.
        1 => window.window.granularity_bytes,
        _ => {
            let bridges = u32::try_from(bridges.len()).unwrap_or(u32::MAX);
            window.window.granularity_bytes.saturating_mul(bridges)
        }
    };
    let granularity = u32::from(encoded_granularity(granularity));
    image.put(offset + 0x10, DECODER_COMMITTED | (ways << 4) | granularity);
    let mut targets = [0; 8];
    let first = bridges.iter().position(|&bridge| bridge == host_bridge);
    let ports = (first.unwrap_or(0)..).step_by(bridges.len().max(1));
    for (target, port) in targets.iter_mut().take(devices).zip(ports) {
        *target = u8::try_from(window.first_root_port + port).unwrap_or(u8::MAX);
    }
    image.put_wide(offset + 0x14, u64::from_le_bytes(targets));
}

struct Image(Vec<u8>);

impl Image {
    fn put(&mut self, offset: usize, value: u32) {
        self.0[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn put_wide(&mut self, offset: usize, value: u64) {
        self.0[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// Number of decoders as in the capability register: 0 is one, n is 2n up to eight.
fn encoded_decoder_count(windows: usize) -> u32 {
    match windows {
        0 | 1 => 0,
        more => u32::try_from(more.div_ceil(2)).unwrap_or(u32::MAX),
    }
}

/// Interleave ways as in decoders and windows: log2, or 8 plus log2 of a third.
pub(crate) fn encoded_ways(ways: usize) -> u8 {
    let (base, power_of_two) = match ways % 3 {
        0 => (8, ways / 3),
        _ => (0, ways),
    };
    base + u8::try_from(power_of_two.trailing_zeros()).unwrap_or(0)
}

/// Interleave granularity as in decoders and windows: log2 of the multiple of 256.
pub(crate) fn encoded_granularity(bytes: u32) -> u8 {
    u8::try_from((bytes / 256).trailing_zeros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Device;
    use crate::topology::presets::Preset;

    fn word(image: &[u8], offset: usize) -> u32 {
        u32::from_le_bytes(image[offset..offset + 4].try_into().unwrap())
    }

    #[test]
    fn one_device_gives_one_committed_decoder() {
        let image = register_image(&Topology::default());
        assert_eq!(image.len(), 0x1_0000);
        let expected = [
            (0x1000, 0x0111_0001),
            (0x1004, 0x1001_0005),
            (0x1100, 0x0000_0b80),
            (0x1104, 2),
            (0x1110, 0),
            (0x1114, 1),
            (0x1118, 0x4000_0000),
            (0x111c, 0),
            (0x1120, 0x1700),
            (0x1124, 0),
            (0x1128, 0),
        ];
        for (offset, value) in expected {
            assert_eq!(word(&image, offset), value, "at {offset:#x}");
        }
        let used = image.iter().filter(|byte| **byte != 0).count();
        assert_eq!(used, 12, "Nothing else is set");
    }

    #[test]
    fn each_host_bridge_has_the_decoders_of_its_own_windows() {
        let two_socket: Preset = "two-socket".parse().unwrap();
        let image = register_image(&two_socket.topology());
        assert_eq!(image.len(), 0x2_0000);
        for (offset, base, port) in [(0, 0, 0), (0x1_0000, 0x2000_0000, 1)] {
            assert_eq!(word(&image, offset + 0x1000), 0x0111_0001);
            assert_eq!(word(&image, offset + 0x1110), base);
            assert_eq!(word(&image, offset + 0x1114), 1);
            assert_eq!(word(&image, offset + 0x1124), port);
        }
    }

    #[test]
    fn a_window_over_several_host_bridges_has_a_decoder_in_each() {
        let mut topology: Topology = "interleaved-3".parse::<Preset>().unwrap().topology();
        let image = register_image(&topology);
        for (bridge, port) in [(0, 0), (1, 1), (2, 2)] {
            let start = bridge * 0x1_0000;
            // The whole window, one way.
            assert_eq!(word(&image, start + 0x1118), 0x3000_0000);
            assert_eq!(word(&image, start + 0x1120), 0x1700);
            assert_eq!(word(&image, start + 0x1124), port);
        }
        let window = topology.nodes[1].window.as_mut().unwrap();
        window.host_bridges = vec![0, 1];
        window.devices = (1..=4)
            .map(|serial_number| Device { serial_number })
            .collect();
        let image = register_image(&topology);
        // Every second device, two ways by twice the granularity.
        assert_eq!(word(&image, 0x1120), 0x1711);
        assert_eq!(word(&image, 0x1124), 0x0200);
        assert_eq!(word(&image, 0x1_1124), 0x0301);
        assert_eq!(word(&image, 0x2_1120), 0);
    }

    #[test]
    fn four_devices_are_listed_as_targets() {
        let mut topology = Topology::default();
        let window = topology.nodes[1].window.as_mut().unwrap();
        window.granularity_bytes = 4096;
        window.devices = (1..=4)
            .map(|serial_number| Device { serial_number })
            .collect();
        let image = register_image(&topology);
        assert_eq!(word(&image, 0x1120), 0x1724);
        assert_eq!(word(&image, 0x1124), 0x0302_0100);
    }

    #[test]
    fn ways_and_granularities_are_encoded() {
        let ways: Vec<_> = [1, 2, 4, 8, 3, 6].into_iter().map(encoded_ways).collect();
        assert_eq!(ways, [0, 1, 2, 3, 8, 9]);
        assert_eq!(encoded_granularity(256), 0);
        assert_eq!(encoded_granularity(16384), 6);
    }
}
