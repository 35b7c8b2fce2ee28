// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A block in a process whose memory is limited. Alone in its process, since the limit is the
//! process's.

use chmu_model::{Block, BlockConfig, Capabilities, Event, Host, QuirkSet, Refusal};
use chmu_spec::access::Access;
use chmu_spec::address::Dpa;
use chmu_spec::chmu::{Configuration0, Configuration1};
use chmu_spec::unit_size::UnitSize;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const MIB: u64 = 1 << 20;

#[derive(Default)]
struct Recorder {
    events: Vec<Event>,
}

impl Host for Recorder {
    fn store_entry(&mut self, _offset: u64, _entry: u64) {}

    fn interrupt(&mut self, _message_number: u8) {}

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

fn block(capacity_bytes: u64) -> Block {
    Block::new(&BlockConfig {
        capacity_bytes,
        instances: vec![Capabilities {
            unit_sizes: [UnitSize::MINIMUM].into_iter().collect(),
            ..Capabilities::default()
        }],
        quirks: QuirkSet::NONE,
    })
    .unwrap()
}

/// Leaves the process this much more address space than it has.
fn leave(bytes: u64) {
    let statistics = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statistics.split(' ').next().unwrap().parse().unwrap();
    let limit = Rlimit {
        current: Some(pages * 4096 + bytes),
        maximum: getrlimit(Resource::As).maximum,
    };
    setrlimit(Resource::As, limit).unwrap();
}

/// Enables the instance with units of 256 B in epochs of 1 s; whether it is.
fn enable(block: &mut Block, host: &mut Recorder) -> bool {
    let configuration_1 = Configuration1::new()
        .with_unit_size_log2(8)
        .with_epoch_scale(5)
        .with_epoch_multiplier(1);
    let configuration_0 = Configuration0::new()
        .with_request_code(6)
        .with_hotness_threshold(1)
        .with_enable(true);
    let mut bitmap = [0; 8];
    block.read(0, 0x20, &mut bitmap, host);
    let bitmap = u64::from_le_bytes(bitmap);
    for (offset, value) in [
        (bitmap, u64::MAX),
        (0x48, configuration_1.into_bits()),
        (0x40, configuration_0.into_bits()),
    ] {
        block.write(0, 0x10 + offset, &value.to_le_bytes(), host);
    }
    block.is_counting()
}

#[test]
fn without_memory_for_counters_enables_are_refused_and_requests_go_uncounted() {
    let mut host = Recorder::default();

    // 7 TiB: 28 Gi units, of which one in 256 must have a counter: 469 MiB.
    let mut large = block(7 << 40);
    leave(400 * MIB);
    assert!(!enable(&mut large, &mut host));
    let refusal = Refusal::Memory { units: 7 << 32 };
    let instance = 0;
    assert_eq!(host.events, [Event::Refused { instance, refusal }]);
    assert_eq!(large.statistics()[0].enables_refused, 1);
    leave(1024 * MIB);
    assert!(enable(&mut large, &mut host));
    drop(large);

    // 1 TiB: counters for 16 Mi units are there from the start, 64 MiB; twice as many do not fit.
    let mut block = block(1 << 40);
    leave(96 * MIB);
    for _ in 0..2 {
        host.events.clear();
        let before = block.statistics()[0];
        assert!(enable(&mut block, &mut host));
        for chunk in 0..80_000 {
            let dpa = Dpa(chunk % 40_000 * (256 << 9));
            block.access(0, &[Access::read(dpa)], &mut host);
        }
        let after = block.statistics()[0];
        assert_eq!(after.requests - before.requests, 80_000);
        let counted = after.requests_counted - before.requests_counted;
        let without = after.requests_without_counter - before.requests_without_counter;
        assert_eq!((counted, without), (2 * 32_768, 2 * (40_000 - 32_768)));
        let news = host.events.iter();
        let news = news.filter(|event| matches!(event, Event::OutOfCounters { .. }));
        assert_eq!(news.count(), 1);
        block.write(0, 0x50, &[0; 8], &mut host);
        assert!(!block.is_counting());
    }
}
