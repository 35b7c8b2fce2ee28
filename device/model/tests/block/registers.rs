// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Access sizes, byte lanes and hostile accesses.

use chmu_model::{Capabilities, Event, Fault};
use proptest::prelude::*;

use super::fixture::{Bench, MS, RANGES, Setup};

#[test]
fn reset_values_are_zero_but_for_the_capabilities() {
    let mut bench = Bench::new();
    let mut unit = bench.unit();
    for offset in (0x20..0x70).step_by(8) {
        assert_eq!(unit.read(offset), 0, "{offset:#x}");
    }
    assert_eq!(unit.read(RANGES), 0);
}

#[test]
fn head_and_tail_are_read_apart_and_together() {
    let mut bench = Bench::new();
    bench.unit().run(&Setup::default());
    bench.touch(&[(1, 2), (2, 2), (3, 2)]);
    bench.pass(10 * MS);
    bench.unit().set_head(1);
    assert_eq!(bench.read(0x78), [1, 0]);
    assert_eq!(bench.read(0x7a), [3, 0]);
    assert_eq!(bench.read(0x78), [1, 0, 3, 0]);
    assert_eq!(bench.read(0x78), [1, 0, 3, 0, 0, 0, 0, 0]);
    assert_eq!(bench.read(0x79), [0]);
    assert_eq!(bench.read(0x7a), [3]);
}

#[test]
fn the_head_is_moved_by_2_4_and_8_bytes() {
    for bytes in [2, 4, 8] {
        let mut bench = Bench::new();
        bench.unit().run(&Setup::default());
        bench.touch(&[(1, 2), (2, 2), (3, 2)]);
        bench.pass(10 * MS);
        let mut unit = bench.unit();
        unit.write_bytes(0x68, &[2, 0, 0xff, 0xff, 0, 0, 0, 0][..bytes]);
        assert_eq!((unit.head(), unit.tail()), (2, 3), "{bytes} bytes");
    }
}

#[test]
fn odd_accesses_are_reported_and_their_writes_ignored() {
    let mut bench = Bench::new();
    bench.unit().write(0x48, 0x0123_0000_0000_000c);
    let before: [u8; 8] = bench.read(0x58);
    bench.write(0x59, &[0xff, 0xff]);
    bench.write(0x58, &[0xff; 3]);
    bench.write(0x58, &[]);
    bench.write(0x58, &[0xff; 16]);
    assert_eq!(bench.read(0x58), before);
    assert_eq!(bench.faults(), 4);
    let three: [u8; 3] = bench.read(0x5d);
    assert_eq!(three, before[5..8]);
    assert_eq!(
        bench.host.events.last(),
        Some(&Event::Fault {
            instance: Some(0),
            fault: Fault::Access {
                offset: 0x5d,
                bytes: 3
            }
        })
    );
}

#[test]
fn the_hotlist_reads_as_zero_here_and_ignores_writes() {
    let mut bench = Bench::new();
    let area = bench.block.hotlist_areas()[0].clone();
    bench.write(area.start, &[0xff; 8]);
    assert_eq!(bench.read(area.start), [0; 8]);
    assert_eq!(bench.faults(), 0);
}

proptest! {
    #[test]
    fn a_write_in_pieces_equals_a_whole_write(
        offset in prop::sample::select(vec![0x48_u64, 0x50, RANGES]),
        before: u64,
        value: u64,
        log2_bytes in 0_u32..3,
    ) {
        let mut whole = Bench::new();
        whole.unit().write(offset, before);
        whole.unit().write(offset, value);
        let mut pieces = Bench::new();
        pieces.unit().write(offset, before);
        let bytes = 1_usize << log2_bytes;
        for (index, piece) in value.to_le_bytes().chunks(bytes).enumerate() {
            pieces.unit().write_bytes(offset + (index * bytes) as u64, piece);
        }
        prop_assert_eq!(whole.unit().read(offset), pieces.unit().read(offset));
    }

    #[test]
    fn no_access_panics_or_reaches_beyond_the_data(
        accesses in prop::collection::vec((hostile_offset(), 0_usize..70, any::<u8>(), any::<bool>()), 1..60)
    ) {
        let mut bench = Bench::of(vec![Capabilities::default(); 2], None);
        for (offset, bytes, byte, write) in accesses {
            let mut data = vec![byte; bytes];
            if write {
                bench.write(offset, &data);
            } else {
                bench.block.read(bench.now_ns, offset, &mut data, &mut bench.host);
            }
        }
    }
}

fn hostile_offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0_u64..0x100,
        1 => 0xfe0_u64..0x1010,
        2 => 0x5000_u64..0x5100,
        1 => 0xa000_u64..0xc000,
        1 => any::<u64>(),
        1 => (u64::MAX - 100)..=u64::MAX,
    ]
}
