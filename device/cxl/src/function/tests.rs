// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The function as a whole: units behind BAR4, accesses, interrupts, resets.

use chmu_model::{Capabilities, Event};
use chmu_spec::access::Access;
use chmu_spec::address::Hpa;
use chmu_spec::chmu::Capabilities0;
use proptest::prelude::*;

use crate::testing::{
    Bench, GIB, INSTANCE, MIB_256, config, decoder, enable, range, read_at, silent_config,
};
use crate::{FunctionConfig, FunctionEvent, Interrupts, Region};

const BAR: Region = Region::Bar(4);

/// Where the hotlist of the first block lies (model's layout).
const HOTLIST: u64 = 0x1000;

fn access(bench: &mut Bench, hpas: &[u64]) {
    let accesses: Vec<Access<Hpa>> = hpas.iter().copied().map(read_at).collect();
    bench
        .function
        .access(bench.now_ns, &accesses, &mut bench.host);
}

#[test]
fn a_hot_page_reaches_hotlist_and_interrupt() {
    let mut bench = Bench::new(&config());
    assert!(!bench.function.is_counting());
    access(&mut bench, &[4 * GIB]);
    assert_eq!(bench.function.statistics().accesses, 0);

    enable(&mut bench, 0, 2);
    assert!(bench.function.is_counting());
    access(
        &mut bench,
        &[4 * GIB + 0x5040, 4 * GIB - 1, 4 * GIB + 0x5fff, 5 * GIB],
    );
    let entry = 5 << 16 | 2;
    assert_eq!(bench.host.memory[&(4, HOTLIST)], entry);
    assert_eq!(bench.host.interrupts, [1]);
    assert_eq!(bench.read_u32(BAR, INSTANCE + 0x68), 1 << 16);

    // A client that cannot map reads the same entry, in any pieces.
    assert_eq!(bench.read_u64(BAR, HOTLIST), entry);
    assert_eq!(bench.read(BAR, HOTLIST + 1, 2), [0, 5]);
    assert_eq!(bench.read(BAR, HOTLIST + 4, 8), [0; 8]);
    // The range bitmap ends where the hotlist starts.
    assert_eq!(
        bench.read(BAR, HOTLIST - 4, 8),
        [0xff, 0xff, 0xff, 0xff, 2, 0, 5, 0]
    );
    bench.write(BAR, HOTLIST, &[0xff; 8]);
    assert_eq!(bench.read_u64(BAR, HOTLIST), entry);

    let statistics = bench.function.statistics();
    assert_eq!(statistics.accesses, 4);
    assert_eq!(statistics.accesses_not_decoded, 2);
    assert_eq!(statistics.blocks[0][0].units_reported, 1);
}

#[test]
fn accesses_count_from_the_end_of_the_enable_operation_on() {
    let mut config = config();
    config.blocks[0][0].operation_delay_ns = 1000;
    let mut bench = Bench::new(&config);
    enable(&mut bench, 0, 1);
    for (now_ns, counted) in [(999, 0), (1000, 1)] {
        bench.now_ns = now_ns;
        access(&mut bench, &[4 * GIB]);
        let statistics = bench.function.statistics();
        assert_eq!(statistics.blocks[0][0].requests_counted, counted);
    }
}

/// Three blocks; the second has two instances and hotlists behind its instances.
fn three_blocks() -> FunctionConfig {
    let instance = |message_number, hotlist_entries| Capabilities {
        message_number,
        hotlist_entries,
        ..Capabilities::default()
    };
    FunctionConfig {
        blocks: vec![
            vec![instance(1, 1024)],
            vec![instance(2, 65535), instance(3, 512)],
            vec![instance(4, 512)],
        ],
        ..config()
    }
}

#[test]
fn each_block_has_its_own_place_and_vector() {
    let mut bench = Bench::new(&three_blocks());
    let areas = bench.function.bars()[4].mappable_areas.clone();
    assert_eq!(
        areas,
        [
            0x1000..0x3000,
            0x1_3000..0x1_4000,
            0x1_5000..0x9_5000,
            0xa_1000..0xa_2000
        ]
    );
    for block in [0, 0x1_0000, 0xa_0000] {
        assert_eq!(bench.read_u64(BAR, block) & 0xf, 1);
        enable(&mut bench, block, 1);
    }
    access(&mut bench, &[4 * GIB + 0x7000]);
    let entry = 7 << 16 | 1;
    for hotlist in [0x1000, 0x1_5000, 0xa_1000] {
        assert_eq!(bench.host.memory[&(4, hotlist)], entry);
        assert_eq!(bench.read_u64(BAR, hotlist), entry);
    }
    assert_eq!(bench.host.memory.len(), 3);
    assert_eq!(bench.host.interrupts, [1, 2, 4]);
    let enabled: Vec<usize> = bench
        .host
        .events
        .iter()
        .filter_map(|event| match event {
            FunctionEvent::Monitor {
                block,
                event: Event::Enabled { .. },
            } => Some(*block),
            _ => None,
        })
        .collect();
    assert_eq!(enabled, [0, 1, 2]);
    // Between the blocks there is nothing.
    assert_eq!(bench.read(BAR, 0x4000, 0x100), [0; 0x100]);
    assert_eq!(bench.read(BAR, 0xf_0000, 0x100), [0; 0x100]);
}

#[test]
fn the_tables_of_msix_lie_behind_the_blocks() {
    let mut bench = Bench::new(&three_blocks());
    let table = u64::from(bench.read_u32(Region::Config, 0x84));
    let pending = u64::from(bench.read_u32(Region::Config, 0x88));
    assert_eq!((table, pending), (0xa_3004, 0xa_4004));
    let table = table - 4;
    let masked = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    assert_eq!(bench.read(BAR, table, 32), [masked, masked].concat());
    bench.write(BAR, table + 16, &[0xff; 16]);
    let mut written = [0xff; 16];
    written[0] = 0xfc;
    written[12..].copy_from_slice(&[1, 0, 0, 0]);
    assert_eq!(bench.read(BAR, table + 16, 16), written);
    // Behind the last of 16 vectors there is nothing.
    bench.write(BAR, table + 0x100, &[0xff; 16]);
    assert_eq!(bench.read(BAR, table + 0x100, 16), [0; 16]);
    assert_eq!(bench.read(BAR, pending - 4, 16), [0; 16]);
    bench.function.reset(&mut bench.host);
    assert_eq!(bench.read(BAR, table + 16, 16), masked);
}

#[test]
fn without_interrupts_nothing_is_sent() {
    let mut bench = Bench::new(&silent_config());
    enable(&mut bench, 0, 1);
    access(&mut bench, &[4 * GIB]);
    assert_eq!(bench.host.memory.len(), 1);
    assert_eq!(bench.host.interrupts, []);
    assert_eq!(bench.function.bars()[4].size_bytes, 0x8000);
}

#[test]
fn both_resets_return_the_units_to_power_on() {
    for reset in [
        (|bench: &mut Bench| bench.write(Region::Config, 0x49, &[0x80])) as fn(&mut Bench),
        |bench| bench.function.reset(&mut bench.host),
    ] {
        let mut bench = Bench::new(&config());
        let before = bench.read(BAR, INSTANCE, 0x200);
        enable(&mut bench, 0, 1);
        access(&mut bench, &[4 * GIB]);
        reset(&mut bench);
        assert!(!bench.function.is_counting());
        assert_eq!(bench.read(BAR, INSTANCE, 0x200), before);
        assert_eq!(bench.function.windows(), [range(4 * GIB, GIB)]);
    }
}

#[test]
fn epochs_end_by_deadline() {
    let mut bench = Bench::new(&config());
    assert_eq!(bench.function.next_deadline_ns(), None);
    enable(&mut bench, 0, 1);
    // Epoch mode, 1 ms.
    bench.write(BAR, INSTANCE + 0x40, &[6, 4, 0, 0, 1, 0, 0, 0]);
    bench.write(
        BAR,
        INSTANCE + 0x48,
        &(12_u64 | 2 << 48 | 1 << 52).to_le_bytes(),
    );
    bench.write(BAR, INSTANCE + 0x42, &[1]);
    bench.function.advance(0, &mut bench.host);
    access(&mut bench, &[4 * GIB + 0x3000]);
    assert_eq!(bench.host.memory.len(), 0);
    let deadline = bench.function.next_deadline_ns().unwrap();
    assert_eq!(deadline, 1_000_000);
    bench.function.advance(deadline, &mut bench.host);
    assert_eq!(bench.host.memory[&(4, HOTLIST)], 3 << 16 | 1);
}

#[test]
fn interleave_skip_and_tee_are_followed() {
    let mut shared = decoder(0x11_0000_0000, 3 * MIB_256);
    shared.ways = 3;
    shared.granularity_bytes = 4096;
    shared.position = 2;
    shared.dpa_skip_bytes = MIB_256;
    shared.tee = true;
    let mut bench = Bench::new(&FunctionConfig {
        decoders: vec![decoder(4 * GIB, MIB_256), shared],
        ..config()
    });
    enable(&mut bench, 0, 1);
    // Page 0 belongs to the first device, page 2 and 5 to this one.
    access(
        &mut bench,
        &[
            0x11_0000_0000,
            0x11_0000_2010,
            0x11_0000_5010,
            4 * GIB + 0x1000,
        ],
    );
    let unit = |index: u64| {
        bench
            .host
            .memory
            .get(&(4, HOTLIST + index * 8))
            .map(|entry| entry >> 16)
    };
    let first = 2 * MIB_256 / 4096;
    assert_eq!(
        [0, 1, 2, 3].map(unit),
        [Some(first), Some(first + 1), Some(1), None]
    );
}

#[test]
fn regions_that_do_not_exist_are_empty() {
    let mut bench = Bench::new(&config());
    for region in [1, 3, 5, 6, 255].map(Region::Bar) {
        bench.write(region, 0, &[0xff; 16]);
        assert_eq!(bench.read(region, 0, 16), [0; 16]);
    }
    assert_eq!(bench.read(BAR, u64::MAX - 3, 16), [0; 16]);
    bench.write(BAR, u64::MAX - 3, &[0xff; 16]);
}

proptest! {
    /// Any access anywhere is survived, and the whole BAR reads the same in pieces.
    #[test]
    fn hostile_accesses_do_no_harm(
        accesses in proptest::collection::vec(
            (0_u64..0xb_0000, proptest::collection::vec(any::<u8>(), 0..40), any::<bool>()),
            0..40,
        ),
    ) {
        let mut bench = Bench::new(&three_blocks());
        for (offset, data, write) in &accesses {
            if *write {
                bench.write(BAR, *offset, data);
            } else {
                bench.read(BAR, *offset, data.len());
            }
        }
        let whole = bench.read(BAR, 0, 0x4000);
        let parts: Vec<u8> = (0..0x4000)
            .step_by(8)
            .flat_map(|offset| bench.read(BAR, offset, 8))
            .collect();
        prop_assert!(whole == parts);
    }
}

/// PCI Express 7.7.1.2: with fewer messages than the function asks for, numbers follow.
#[test]
fn message_numbers_follow_what_the_host_grants() {
    let mut bench = Bench::new(&FunctionConfig {
        interrupts: Interrupts::Msi(16),
        blocks: vec![vec![Capabilities {
            message_number: 5,
            ..Capabilities::default()
        }]],
        ..config()
    });
    let number = |bench: &mut Bench| {
        let capabilities = bench.read_u64(BAR, INSTANCE);
        Capabilities0::from_bits(capabilities).message_number()
    };
    assert_eq!(number(&mut bench), 5);
    // Of MSI's control: enable, and log2 of the messages from bit 4 on.
    for (control, expected) in [
        (0x01, 0),
        (0x11, 1),
        (0x21, 1),
        (0x31, 5),
        (0x41, 5),
        (0x71, 5),
        (0x20, 5),
    ] {
        bench.write(Region::Config, 0x82, &[control]);
        assert_eq!(number(&mut bench), expected, "{control:#x}");
        enable(&mut bench, 0, 1);
        let now_ns = bench.now_ns;
        let accesses = [read_at(4 * GIB)];
        bench.function.access(now_ns, &accesses, &mut bench.host);
        assert_eq!(bench.host.interrupts, [u16::from(expected)], "{control:#x}");
        bench.host.interrupts.clear();
        // Start anew, with nothing granted.
        bench.write(Region::Config, 0x49, &[0x80]);
        assert_eq!(number(&mut bench), 5);
    }
}
