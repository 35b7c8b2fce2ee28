// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Component registers against bytes that were written down by hand, and drivers' decoders.

use proptest::prelude::*;

use crate::testing::{Bench, GIB, MIB_256, config, decoder, range};
use crate::{DecoderRefusal, FunctionConfig, FunctionEvent, Region};

const BAR: Region = Region::Bar(0);
const HDM: u64 = 0x1100;

fn dwords(bench: &mut Bench, start: u64, count: u64) -> Vec<u32> {
    (0..count)
        .map(|index| bench.read_u32(BAR, start + index * 4))
        .collect()
}

/// Two windows of firmware, and two decoders that a driver can commit.
fn two_of_four() -> FunctionConfig {
    let mut second = decoder(0x11_4000_0000, 6 * MIB_256);
    second.ways = 6;
    second.granularity_bytes = 1024;
    second.position = 5;
    second.dpa_skip_bytes = MIB_256;
    let third = decoder(0x20_0000_0000, MIB_256);
    FunctionConfig {
        capacity_bytes: 2 * GIB,
        decoders: vec![decoder(4 * GIB, MIB_256), second, third],
        ..config()
    }
}

#[test]
fn registers_equal_the_kernels_contract() {
    let mut bench = Bench::new(&config());
    assert_eq!(
        dwords(&mut bench, 0x1000, 3),
        [0x0211_0001, 0x0802_0002, 0x1001_0005]
    );
    // RAS: nothing happened, everything masked.
    assert_eq!(
        dwords(&mut bench, 0x1080, 6),
        [0, 0x1_cfff, 0x1_cfff, 0, 0x7f, 0]
    );
    assert_eq!(dwords(&mut bench, HDM, 4), [0x1b02, 2, 0, 0]);
    assert_eq!(
        dwords(&mut bench, HDM + 0x10, 8),
        [0, 1, 0x4000_0000, 0, 0x1700, 0, 0, 0]
    );
    // Everything else is empty.
    let image = bench.read(BAR, 0, 0x1_0000);
    let set: Vec<usize> = (0..0x1_0000).filter(|offset| image[*offset] != 0).collect();
    assert!(set.iter().all(|offset| (0x1000..0x1130).contains(offset)));
}

/// What Linux does with decoders that firmware leaves alone: it says that they are for the host only.
#[test]
fn free_decoders_are_empty_and_can_be_marked() {
    let mut bench = Bench::new(&config());
    let free = HDM + 0x10 + 3 * 0x20;
    assert_eq!(dwords(&mut bench, free, 8), [0; 8]);
    bench.write(BAR, free + 0x10, &0x1000_u32.to_le_bytes());
    assert_eq!(bench.read_u32(BAR, free + 0x10), 0x1000);
    assert_eq!(bench.host.events, []);
    assert_eq!(bench.function.windows().len(), 1);
    // There is no fifth one.
    assert_eq!(dwords(&mut bench, free + 0x20, 8), [0; 8]);
    bench.write(BAR, free + 0x30, &0x1000_u32.to_le_bytes());
    assert_eq!(bench.read_u32(BAR, free + 0x30), 0);
}

#[test]
fn decoders_show_ways_granularity_and_skip() {
    let mut bench = Bench::new(&two_of_four());
    assert_eq!(bench.read_u32(BAR, HDM), 0x1b02);
    assert_eq!(
        dwords(&mut bench, HDM + 0x30, 7),
        [0x4000_0000, 0x11, 0x6000_0000, 0, 0x1792, 0x1000_0000, 0]
    );
    assert_eq!(dwords(&mut bench, HDM + 0x70, 7), [0; 7]);
    assert_eq!(
        bench.function.windows(),
        [
            range(4 * GIB, MIB_256),
            range(0x11_4000_0000, 6 * MIB_256),
            range(0x20_0000_0000, MIB_256),
        ]
    );
}

#[test]
fn locked_decoders_ignore_writes() {
    let mut bench = Bench::new(&config());
    let before = bench.read(BAR, 0x1000, 0x200);
    bench.write(BAR, HDM + 0x10, &[0xff; 0x20]);
    bench.write(BAR, HDM + 0x10, &[0; 0x20]);
    bench.write(BAR, HDM + 0x20, &[0]);
    assert_eq!(bench.read(BAR, 0x1000, 0x200), before);
    assert_eq!(bench.host.events, []);
}

#[test]
fn the_global_control_switches_all_decoders() {
    let mut bench = Bench::new(&config());
    bench.write(BAR, HDM + 4, &[0, 0, 0, 0]);
    assert_eq!(bench.function.windows(), []);
    bench.write(BAR, HDM + 4, &[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(bench.read_u32(BAR, HDM + 4), 2);
    assert_eq!(bench.function.windows(), [range(4 * GIB, GIB)]);
    assert_eq!(
        bench.host.events,
        [FunctionEvent::WindowsChanged, FunctionEvent::WindowsChanged]
    );
}

#[test]
fn error_status_is_cleared_by_ones_and_masks_are_the_drivers() {
    let mut bench = Bench::new(&config());
    bench.write(BAR, 0x1080, &[0xff; 0x58]);
    assert_eq!(
        dwords(&mut bench, 0x1080, 6),
        [0, 0x1_cfff, 0x1_cfff, 0, 0x7f, 0]
    );
    bench.write(BAR, 0x1080, &[0; 0x58]);
    assert_eq!(dwords(&mut bench, 0x1080, 0x16), [0; 0x16]);
}

/// Writes base, size, skip and control of the fourth decoder, as a driver does.
fn program(bench: &mut Bench, base: u64, size: u64, control: u32) -> u32 {
    let start = HDM + 0x70;
    bench.write(BAR, start, &base.to_le_bytes()[..4]);
    bench.write(BAR, start + 4, &base.to_le_bytes()[4..]);
    bench.write(BAR, start + 8, &size.to_le_bytes()[..4]);
    bench.write(BAR, start + 12, &size.to_le_bytes()[4..]);
    bench.write(BAR, start + 0x10, &control.to_le_bytes());
    bench.read_u32(BAR, start + 0x10)
}

const COMMIT: u32 = 0x1200;
const COMMITTED: u32 = 0x1600;
const REFUSED: u32 = 0x1a00;

#[test]
fn a_driver_commits_and_takes_back() {
    let mut bench = Bench::new(&two_of_four());
    let seen = program(&mut bench, 0x30_0000_0000, GIB, COMMIT);
    assert_eq!(seen, COMMITTED);
    let window = range(0x30_0000_0000, GIB);
    assert_eq!(bench.function.windows().last(), Some(&window));
    assert_eq!(bench.host.events, [FunctionEvent::WindowsChanged]);

    bench.write(BAR, HDM + 0x80, &[0, 0, 0, 0]);
    assert_eq!(bench.read_u32(BAR, HDM + 0x80), 0);
    assert_eq!(bench.function.windows().len(), 3);
}

#[test]
fn a_driver_locks_what_it_commits() {
    let mut bench = Bench::new(&two_of_four());
    let seen = program(&mut bench, 0x30_0000_0000, GIB, COMMIT | 0x100);
    assert_eq!(seen, COMMITTED | 0x100);
    bench.write(BAR, HDM + 0x70, &[0; 0x20]);
    assert_eq!(bench.read_u32(BAR, HDM + 0x80), COMMITTED | 0x100);
    assert_eq!(bench.function.windows().len(), 4);

    bench.function.reset(&mut bench.host);
    assert_eq!(dwords(&mut bench, HDM + 0x70, 7), [0; 7]);
    assert_eq!(bench.function.windows().len(), 3);
    let seen = program(&mut bench, 0x40_0000_0000, GIB, COMMIT);
    assert_eq!(seen, COMMITTED);
}

#[test]
fn impossible_decoders_are_refused() {
    let cases = [
        (0x30_0000_0000, 0, COMMIT, DecoderRefusal::Window),
        (
            0xffff_ffff_f000_0000,
            MIB_256,
            COMMIT,
            DecoderRefusal::Window,
        ),
        (0x20_0000_0000, MIB_256, COMMIT, DecoderRefusal::Overlap),
        (0x1_0000_0000, MIB_256, COMMIT, DecoderRefusal::Overlap),
        (
            0x30_0000_0000,
            5 * MIB_256,
            COMMIT,
            DecoderRefusal::Capacity,
        ),
        (
            0x30_0000_0000,
            MIB_256,
            COMMIT | 0x10,
            DecoderRefusal::Interleave,
        ),
        (
            0x30_0000_0000,
            MIB_256,
            COMMIT | 0x50,
            DecoderRefusal::Interleave,
        ),
        (
            0x30_0000_0000,
            MIB_256,
            COMMIT | 0x07,
            DecoderRefusal::Interleave,
        ),
    ];
    for (base, size, control, refusal) in cases {
        let mut bench = Bench::new(&two_of_four());
        let seen = program(&mut bench, base, size, control);
        assert_eq!(seen, REFUSED | control & 0xff);
        let event = FunctionEvent::DecoderRefused {
            decoder: 3,
            refusal,
        };
        assert_eq!(bench.host.events, [event]);
        assert_eq!(bench.function.windows().len(), 3);
        // The error goes when the driver withdraws, and a second try works.
        bench.write(BAR, HDM + 0x80, &0x1000_u32.to_le_bytes());
        assert_eq!(bench.read_u32(BAR, HDM + 0x80), 0x1000);
        let seen = program(&mut bench, 0x30_0000_0000, MIB_256, COMMIT);
        assert_eq!(seen, COMMITTED);
    }
}

#[test]
fn the_count_of_decoders_is_rounded_up() {
    // Decoders that the device has at least, those of firmware, and the code of their count.
    for (hdm_decoders, decoders, code) in [
        (1, 1, 0),
        (1, 2, 1),
        (2, 3, 2),
        (4, 1, 2),
        (4, 4, 2),
        (4, 5, 3),
        (7, 2, 4),
        (4, 9, 5),
        (10, 1, 5),
    ] {
        let bases = (1..=decoders).map(|index| index << 32);
        let mut bench = Bench::new(&FunctionConfig {
            capacity_bytes: 4 * GIB,
            hdm_decoders,
            decoders: bases.map(|base| decoder(base, MIB_256)).collect(),
            ..config()
        });
        assert_eq!(bench.read_u32(BAR, HDM) & 0xf, code);
        assert_eq!(bench.function.windows().len() as u64, decoders);
    }
}

proptest! {
    #[test]
    fn reads_of_any_size_show_the_same_bytes(
        offset in 0x0fe0_u64..0x1200,
        bytes in proptest::sample::select(vec![1_usize, 2, 4, 8, 3, 64]),
    ) {
        let mut bench = Bench::new(&two_of_four());
        let image = bench.read(BAR, 0, 0x2000);
        let start = usize::try_from(offset).unwrap();
        prop_assert_eq!(bench.read(BAR, offset, bytes), &image[start..start + bytes]);
    }

    #[test]
    fn hostile_writes_leave_firmwares_windows_alone(
        writes in proptest::collection::vec(
            (0x1000_u64..0x1200, proptest::collection::vec(any::<u8>(), 1..16)),
            0..40,
        ),
    ) {
        let mut bench = Bench::new(&two_of_four());
        let before = bench.function.windows();
        for (offset, data) in &writes {
            bench.write(BAR, *offset, data);
        }
        bench.write(BAR, HDM + 4, &[2, 0, 0, 0]);
        let after = bench.function.windows();
        prop_assert_eq!(&after[..3], &before[..]);
        bench.function.reset(&mut bench.host);
        prop_assert_eq!(bench.function.windows(), before);
    }
}
