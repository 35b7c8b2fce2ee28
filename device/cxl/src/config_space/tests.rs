// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration space against bytes that were written down by hand.

mod exchange;

use chmu_model::Capabilities;

use crate::testing::{Bench, MIB_256, config, decoder, silent_config};
use crate::{FunctionConfig, FunctionEvent, Interrupts, Region};

/// From the header's table, the PCI Express capability's and the register map of CXL's DVSECs:
/// offset, bytes from there on. All other bytes are 0.
const EXPECTED: [(usize, &[u8]); 17] = [
    (0x00, &[0x98, 0x1e, 0xa0, 0xc4, 0x00, 0x00, 0x10, 0x00]),
    (0x08, &[0x01, 0x10, 0x02, 0x05]),
    (0x10, &[0x04]),
    (0x18, &[0x04]),
    (0x20, &[0x0c]),
    (0x2c, &[0x98, 0x1e, 0x01, 0x00]),
    (0x34, &[0x40]),
    (
        0x40,
        &[
            0x10, 0x80, 0x02, 0x00, 0xe2, 0x8f, 0x00, 0x10, // endpoint; FLR, 512 B, tags
            0x10, 0x28, 0x00, 0x00, 0x05, 0x01, 0x40,
            0x00, // device control; link 32 GT/s x16
            0x00, 0x00, 0x05, 0x11, // link status
        ],
    ),
    (
        0x64,
        &[0x1f, 0, 1, 0, 0, 0, 0, 0, 0x3e, 0, 0, 0, 0x05, 0, 0x1e, 0],
    ),
    // 16 vectors; table in BAR4 at 0x6000, pending bits at 0x7000.
    (
        0x80,
        &[
            0x11, 0x00, 0x0f, 0x00, 0x04, 0x60, 0x00, 0x00, 0x04, 0x70, 0x00, 0x00,
        ],
    ),
    (
        0x100,
        &[
            0x03, 0x00, 0x01, 0x11, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
        ],
    ),
    (
        0x110,
        &[
            0x23, 0x00, 0x01, 0x15, 0x98, 0x1e, 0xc3, 0x03, // 0x3c bytes, revision 3
            0x00, 0x00, 0x1e, 0x00, 0x06, 0x00, 0x00, 0x00, // capability, control
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, //
            0x00, 0x00, 0x00, 0x00, 0x4b, 0x00, 0x00,
            0x40, // size 0x4000_0000, valid, active, CDAT
            0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // base 0x1_0000_0000
        ],
    ),
    (
        0x150,
        &[
            0x23, 0x00, 0x01, 0x1c, 0x98, 0x1e, 0x40, 0x02, // 0x24 bytes
            0x08, 0x00, 0x00, 0x00, //
            0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // BAR0, component
            0x02, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // BAR2, memory device
            0x04, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // BAR4, hotness monitor
        ],
    ),
    (
        0x1c0,
        &[
            0x23, 0x00, 0x01, 0x1e, 0x98, 0x1e, 0x02, 0x02, // 0x20 bytes, revision 2
            0x07, 0x00, 0x26, 0x00, 0x26, 0x00, 0x26, 0x00, // IO, MEM, 68-byte flits
        ],
    ),
    // Global persistent flush, 0x10 bytes: no time, no power.
    (
        0x1e0,
        &[
            0x23, 0x00, 0x01, 0x20, 0x98, 0x1e, 0x00, 0x01, 0x05, 0, 0, 0, 0, 0, 0, 0,
        ],
    ),
    // Advanced error reporting.
    (
        0x200,
        &[
            0x01, 0x00, 0x02, 0x25, 0, 0, 0, 0, // version 2, uncorrectable status
            0x00, 0x00, 0x40, 0x00, 0x30, 0x20, 0x46, 0x00, // mask, severity
            0, 0, 0, 0, 0x00, 0xe0, 0x00, 0x00, // correctable status, mask
            0xa0, 0, 0, 0, // capabilities
        ],
    ),
    // Data object exchange.
    (0x250, &[0x2e, 0x00, 0x01, 0x00, 0, 0, 0, 0]),
];

fn expected_image() -> Vec<u8> {
    let mut image = vec![0; 4096];
    for (offset, bytes) in EXPECTED {
        image[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    image
}

fn image(bench: &mut Bench) -> Vec<u8> {
    bench.read(Region::Config, 0, 4096)
}

/// Offsets at which two images differ, with the bytes.
fn differences(seen: &[u8], expected: &[u8]) -> Vec<(String, u8, u8)> {
    let pairs = seen.iter().zip(expected).enumerate();
    pairs
        .filter(|(_, (seen, expected))| seen != expected)
        .map(|(offset, (seen, expected))| (format!("{offset:#x}"), *seen, *expected))
        .collect()
}

#[test]
fn every_byte_equals_a_hand_transcription() {
    let mut bench = Bench::new(&config());
    assert_eq!(differences(&image(&mut bench), &expected_image()), []);
}

#[test]
fn reads_of_any_size_show_the_same_bytes() {
    let mut bench = Bench::new(&config());
    let whole = image(&mut bench);
    for bytes in [1, 2, 4, 8] {
        for start in (0..4096).step_by(bytes) {
            let part = bench.read(Region::Config, start as u64, bytes);
            assert_eq!(part, whole[start..start + bytes]);
        }
    }
}

/// Writes ones everywhere but to the reset bit, byte by byte; only these bytes may change.
#[test]
fn only_some_bits_can_be_written() {
    let changed: [(usize, &[u8]); 15] = [
        (0x04, &[0x46, 0x05]),
        (0x0c, &[0xff]),
        (0x10, &[0x04, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (0x18, &[0x04, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (0x20, &[0x0c, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (0x3c, &[0xff]),
        (0x48, &[0xff, 0x79]),
        (0x50, &[0xc0, 0x00]),
        (0x68, &[0x1f, 0x00]),
        (0x70, &[0x0f]),
        (0x82, &[0x0f, 0xc0]),
        (0x11c, &[0x06]),
        (0x208, &[0x30, 0xf0, 0x5f, 0x00, 0x30, 0xf0, 0x5f, 0x00]),
        (0x214, &[0xc1, 0xf1]),
        (0x218, &[0xe0, 0x01]),
    ];
    let mut expected = expected_image();
    for (offset, bytes) in changed {
        expected[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    let mut bench = Bench::new(&config());
    for offset in 0..4096 {
        let byte = if offset == 0x49 { 0x7f } else { 0xff };
        bench.write(Region::Config, offset, &[byte]);
    }
    assert_eq!(differences(&image(&mut bench), &expected), []);

    let mut expected = expected_image();
    expected[0x48..0x4a].copy_from_slice(&[0, 0]);
    expected[0x70] = 0;
    expected[0x11c] = 0x02;
    expected[0x208..0x218].fill(0);
    // The data object exchange gave nothing that could be taken.
    expected[0x25c] = 0x04;
    let mut bench = Bench::new(&config());
    bench.write(Region::Config, 0, &[0; 4096]);
    assert_eq!(differences(&image(&mut bench), &expected), []);
}

#[test]
fn a_bar_tells_its_size() {
    let mut bench = Bench::new(&config());
    let sizes: Vec<u64> = (0..6)
        .map(|bar| bench.function.bars()[bar].size_bytes)
        .collect();
    assert_eq!(sizes, [0x1_0000, 0, 0x1_0000, 0, 0x8000, 0]);
    for bar in [0, 2, 4] {
        let offset = 0x10 + bar as u64 * 4;
        for half in [0, 4] {
            bench.write(Region::Config, offset + half, &[0xff; 4]);
        }
        let answer = bench.read_u64(Region::Config, offset) & !0xf;
        assert_eq!(answer.wrapping_neg(), sizes[bar]);
        bench.write(
            Region::Config,
            offset,
            &0xfe12_3456_7fed_0000_u64.to_le_bytes(),
        );
        let address = bench.read_u64(Region::Config, offset) & !0xf;
        assert_eq!(address, 0xfe12_3456_7fed_0000);
    }
    bench.write(Region::Config, 0x14 + 4 * 4, &[0xff; 4]);
    assert_eq!(bench.read_u32(Region::Config, 0x24), 0xffff_ffff);
}

#[test]
fn without_interrupts_the_list_ends_after_pci_express() {
    let mut bench = Bench::new(&silent_config());
    let image = image(&mut bench);
    assert_eq!(image[0x40..0x42], [0x10, 0x00]);
    assert_eq!(image[0x80..0x100], [0; 0x80]);
}

#[test]
fn msi_equals_a_hand_transcription() {
    let mut bench = Bench::new(&FunctionConfig {
        interrupts: Interrupts::Msi(16),
        ..config()
    });
    // 64-bit addresses, 2^4 vectors.
    let mut expected = vec![0; 0x80];
    expected[..4].copy_from_slice(&[0x05, 0x00, 0x88, 0x00]);
    assert_eq!(bench.read(Region::Config, 0x80, 0x80), expected);
    bench.write(Region::Config, 0x82, &[0xff; 0x7e]);
    expected[2..4].copy_from_slice(&[0xf9, 0x00]);
    expected[4..14].copy_from_slice(&[0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(bench.read(Region::Config, 0x80, 0x80), expected);
}

#[test]
fn the_locator_has_an_entry_for_each_of_eight_blocks() {
    let mut bench = Bench::new(&FunctionConfig {
        blocks: vec![
            vec![Capabilities {
                hotlist_entries: 16384,
                ..Capabilities::default()
            }];
            8
        ],
        ..config()
    });
    let image = image(&mut bench);
    assert_eq!(image[0x154..0x15c], [0x98, 0x1e, 0xc0, 0x05, 8, 0, 0, 0]);
    // A block of 0x2000 + 0x2_0000 bytes takes three times 64 KiB.
    for (block, entry) in image[0x16c..0x1ac].chunks(8).enumerate() {
        let start = u8::try_from(block * 3).unwrap();
        assert_eq!(entry, [0x04, 0x05, start, 0, 0, 0, 0, 0]);
    }
    assert_eq!(image[0x1ac..0x1c0], [0; 0x14]);
    let bar = &bench.function.bars()[4];
    assert_eq!(bar.size_bytes, 0x20_0000);
    assert_eq!(bar.mappable_areas.len(), 8);
    assert_eq!(bar.mappable_areas[1].start % 0x1000, 0);
}

#[test]
fn the_first_range_is_the_share_of_the_first_decoder() {
    let mut interleaved = decoder(0x11_4000_0000, 4 * MIB_256);
    interleaved.ways = 2;
    interleaved.position = 1;
    let mut bench = Bench::new(&FunctionConfig {
        decoders: vec![interleaved, decoder(0x20_0000_0000, MIB_256)],
        ..config()
    });
    let seen: Vec<u32> = (0x128..0x138)
        .step_by(4)
        .map(|offset| bench.read_u32(Region::Config, offset))
        .collect();
    assert_eq!(seen, [0, 0x2000_004b, 0x11, 0x4000_0000]);
}

#[test]
fn a_function_level_reset_spares_memory() {
    let mut bench = Bench::new(&config());
    bench.write(Region::Config, 0x04, &[0x06, 0x01]);
    bench.write(Region::Config, 0x10, &0x8000_0000_u64.to_le_bytes());
    bench.write(Region::Config, 0x82, &[0x00, 0x80]);
    bench.write(Region::Config, 0x11c, &[0x02, 0x00]);
    bench.write(Region::Config, 0x208, &[0x10, 0x00, 0x00, 0x00]);
    let mem_off = FunctionEvent::WindowsChanged;
    assert_eq!(bench.host.events, [mem_off]);
    assert_eq!(bench.function.windows(), []);

    let control = bench.read(Region::Config, 0x48, 2);
    bench.write(Region::Config, 0x48, &[control[0], control[1] | 0x80]);
    assert_eq!(
        bench.host.events.last(),
        Some(&FunctionEvent::FunctionLevelReset)
    );
    // The masks of errors are sticky.
    let mut expected = expected_image();
    expected[0x11c] = 0x02;
    (expected[0x208], expected[0x20a]) = (0x10, 0);
    assert_eq!(differences(&image(&mut bench), &expected), []);
    assert_eq!(bench.function.statistics().function_level_resets, 1);

    bench.function.reset(&mut bench.host);
    assert_eq!(differences(&image(&mut bench), &expected_image()), []);
    assert_eq!(bench.function.windows().len(), 1);
    let last_two = &bench.host.events[bench.host.events.len() - 2..];
    assert_eq!(
        last_two,
        [FunctionEvent::DeviceReset, FunctionEvent::WindowsChanged]
    );
}

#[test]
fn a_reset_bit_is_seen_in_accesses_of_any_size() {
    let mut bench = Bench::new(&config());
    bench.write(Region::Config, 0x49, &[0x80]);
    bench.write(Region::Config, 0x48, &[0x10, 0xa8, 0, 0]);
    bench.write(Region::Config, 0x40, &[0xff; 16]);
    bench.write(Region::Config, 0x48, &[0x80]);
    bench.write(Region::Config, 0x4a, &[0x80, 0x80]);
    assert_eq!(bench.function.statistics().function_level_resets, 3);
}

#[test]
fn accesses_outside_of_the_space_do_nothing() {
    let mut bench = Bench::new(&config());
    assert_eq!(bench.read(Region::Config, 4096, 8), [0; 8]);
    assert_eq!(bench.read(Region::Config, u64::MAX, 8), [0; 8]);
    bench.write(Region::Config, 4092, &[0xff; 16]);
    bench.write(Region::Config, u64::MAX, &[0xff; 16]);
    assert_eq!(differences(&image(&mut bench), &expected_image()), []);
}
