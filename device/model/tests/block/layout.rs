// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the parts of an instance lie, as public drivers take it: the range bitmap reaches up to
//! the hotlist, and nothing lies behind the last instance.

use chmu_model::{Block, BlockConfig, Capabilities, Caution, QuirkSet};
use chmu_spec::chmu::RANGE_BYTES;
use proptest::prelude::*;

use super::fixture::{MS, Recorder, Setup, read_of};

/// The longest hotlist inside an instance.
const NEAR_ENTRIES: u16 = 7168;

fn block(capacity_bytes: u64, hotlist_entries: &[u16]) -> Block {
    let instances = hotlist_entries.iter().map(|entries| Capabilities {
        hotlist_entries: *entries,
        ..Capabilities::default()
    });
    Block::new(&BlockConfig {
        capacity_bytes,
        instances: instances.collect(),
        quirks: QuirkSet::NONE,
    })
    .unwrap()
}

/// A driver that maps the instances and no more, and knows no size of memory.
struct Driver {
    block: Block,
    host: Recorder,
    instances: u64,
    length: u64,
}

impl Driver {
    fn new(block: Block) -> Self {
        let mut driver = Self {
            block,
            host: Recorder::default(),
            instances: 0,
            length: 0,
        };
        driver.instances = driver.read_block(0) >> 8 & 0xff;
        driver.length = driver.read_block(8) & 0xffff;
        driver
    }

    fn read_block(&mut self, offset: u64) -> u64 {
        let mut data = [0; 8];
        self.block.read(0, offset, &mut data, &mut self.host);
        u64::from_le_bytes(data)
    }

    fn read(&mut self, instance: u64, offset: u64) -> u64 {
        self.read_block(0x10 + instance * self.length + offset)
    }

    fn write(&mut self, instance: u64, offset: u64, value: u64) {
        let start = 0x10 + instance * self.length;
        let mapped = 0x10 + self.instances * self.length;
        assert!(
            start + offset + 8 <= mapped,
            "leaves its mapping: {offset:#x}"
        );
        self.block
            .write(0, start + offset, &value.to_le_bytes(), &mut self.host);
    }

    /// All that an instance's registers hold.
    fn registers(&mut self, instance: u64) -> Vec<u64> {
        let hotlist = self.read(instance, 0x18);
        let words = (0..hotlist.min(self.length)).step_by(8);
        words.map(|offset| self.read(instance, offset)).collect()
    }

    /// Resets, tracks all that the bitmap has room for, and enables.
    fn start(&mut self, instance: u64) {
        self.write(instance, 0x40, 1 << 17);
        self.write(
            instance,
            0x48,
            Setup::default().configuration_1().into_bits(),
        );
        let (bitmap, hotlist) = (self.read(instance, 0x10), self.read(instance, 0x18));
        for word in 0..(hotlist - bitmap) / 8 {
            self.write(instance, bitmap + word * 8, u64::MAX);
        }
        // The bits of a range that ends with a word are followed by a word of none.
        self.write(instance, hotlist, 0);
        self.write(instance, 0x50, 8);
        let configuration_0 = Setup::default().configuration_0();
        self.write(
            instance,
            0x40,
            configuration_0.with_enable(true).into_bits(),
        );
    }
}

proptest! {
    #[test]
    fn a_public_drivers_start_touches_its_own_instance_only(
        capacity_bytes in 1_u64..7 << 40,
        entries in proptest::collection::vec(2..=NEAR_ENTRIES, 1..=4),
        started in 0_u64..4,
    ) {
        let started = started % entries.len() as u64;
        let mut driver = Driver::new(block(capacity_bytes, &entries));
        let others = (0..driver.instances).filter(|index| *index != started);
        let others: Vec<u64> = others.collect();
        for other in &others {
            driver.start(*other);
        }
        let before: Vec<_> = others.iter().map(|other| driver.registers(*other)).collect();
        driver.start(started);
        let after: Vec<_> = others.iter().map(|other| driver.registers(*other)).collect();
        prop_assert_eq!(after, before);
        prop_assert_eq!(driver.read(started, 0x60) & 1, 1);
        prop_assert!(driver.host.events.iter().all(|event| !event.to_string().contains("driver")));

        // All of the memory is tracked, its last byte included.
        let last = read_of(capacity_bytes - 1);
        driver.block.access(0, &[last, read_of(0)], &mut driver.host);
        driver.block.advance(10 * MS, &mut driver.host);
        for statistics in driver.block.statistics() {
            prop_assert_eq!(statistics.requests_counted, 2);
        }
    }

    #[test]
    fn the_range_bitmap_has_the_words_that_the_memory_needs(
        capacity_bytes in 1_u64..7 << 40,
        entries in 2..=NEAR_ENTRIES,
    ) {
        let mut driver = Driver::new(block(capacity_bytes, &[entries]));
        let words = (driver.read(0, 0x18) - driver.read(0, 0x10)) / 8;
        prop_assert_eq!(words, capacity_bytes.div_ceil(64 * RANGE_BYTES));
    }
}

#[test]
fn operations_that_drivers_do_not_wait_for_are_cautioned_against() {
    for (delay_ns, cautions) in [(100 * MS, 0), (200 * MS, 1)] {
        let block = Block::new(&BlockConfig {
            capacity_bytes: 1 << 30,
            instances: vec![Capabilities {
                operation_delay_ns: delay_ns,
                ..Capabilities::default()
            }],
            quirks: QuirkSet::NONE,
        })
        .unwrap();
        assert_eq!(block.cautions().len(), cautions);
        for caution in block.cautions() {
            let (caution, start) = (
                caution.to_string(),
                "enable, disable and reset of instance 0",
            );
            assert!(
                caution.starts_with(&format!("{start} take 200 ms; drivers")),
                "{caution}"
            );
        }
    }
}

#[test]
fn a_hotlist_outside_of_its_instance_is_cautioned_against() {
    let block = block(1 << 30, &[NEAR_ENTRIES, NEAR_ENTRIES + 1]);
    assert_eq!(
        block.cautions(),
        [Caution::FarHotlist {
            instance: 1,
            entries: NEAR_ENTRIES + 1,
            near_entries: NEAR_ENTRIES,
        }]
    );
}
