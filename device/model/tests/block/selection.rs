// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which requests count: filters, ranges and down-sampling.

use chmu_model::{Block, BlockConfig, Capabilities, QuirkSet};
use chmu_spec::access::Access;
use chmu_spec::address::Dpa;
use chmu_spec::chmu::RANGE_BYTES;
use chmu_spec::request::{AccessKind, RequestFilter};

use super::fixture::{Bench, CAPACITY_BYTES, MS, Recorder, Setup, entry, read_of};

const ALL_CLASSES: [(AccessKind, bool); 4] = [
    (AccessKind::Read, false),
    (AccessKind::Write, false),
    (AccessKind::Read, true),
    (AccessKind::Write, true),
];

#[test]
fn each_filter_tracks_its_requests() {
    // By request code: the pages that count, of non-TEE R, non-TEE W, TEE R and TEE W.
    let expected: [(u8, &[u64]); 6] = [
        (1, &[0]),
        (2, &[1]),
        (3, &[0, 1]),
        (4, &[0, 2]),
        (5, &[1, 3]),
        (6, &[0, 1, 2, 3]),
    ];
    for (code, pages) in expected {
        let mut bench = Bench::new();
        let setup = Setup {
            filter: RequestFilter::from_code(code).unwrap(),
            ..Setup::default()
        };
        bench.unit().run(&setup);
        for (page, (kind, tee)) in (0_u64..).zip(ALL_CLASSES) {
            let dpa = Dpa(page << 12);
            bench.access(&[Access::new(dpa, kind, tee); 2]);
        }
        bench.pass(10 * MS);
        let units: Vec<u64> = bench
            .unit()
            .drain()
            .iter()
            .map(|entry| entry.unit.0)
            .collect();
        assert_eq!(units, pages, "code {code}");
        let filtered = 8 - 2 * pages.len() as u64;
        assert_eq!(bench.unit().statistics().requests_filtered, filtered);
    }
}

#[test]
fn every_access_that_arrives_is_a_request() {
    let mut bench = Bench::new();
    bench.unit().run(&Setup::default());
    bench.access(&[read_of(0x1000), read_of(0x1000), read_of(0x1fff)]);
    bench.pass(10 * MS);
    assert_eq!(bench.unit().drain(), [entry(1, 3)]);
    let statistics = bench.unit().statistics();
    assert_eq!((statistics.requests, statistics.requests_counted), (3, 3));
}

#[test]
fn a_clear_range_bit_keeps_requests_out() {
    for bit in 0..4 {
        let mut bench = Bench::new();
        let setup = Setup {
            ranges: 1 << bit,
            ..Setup::default()
        };
        bench.unit().run(&setup);
        for range in 0..4 {
            let first = range * RANGE_BYTES;
            bench.access(&[read_of(first); 2]);
            bench.access(&[read_of(first + RANGE_BYTES - 1); 2]);
        }
        bench.pass(10 * MS);
        let first = bit * RANGE_BYTES / 4096;
        let last = (bit + 1) * RANGE_BYTES / 4096 - 1;
        assert_eq!(bench.unit().drain(), [entry(first, 2), entry(last, 2)]);
        assert_eq!(bench.unit().statistics().requests_out_of_range, 12);
    }
}

#[test]
fn requests_beyond_the_memory_are_out_of_range() {
    let mut bench = Bench::new();
    bench.unit().run(&Setup::default());
    bench.access(&[read_of(CAPACITY_BYTES); 3]);
    bench.access(&[read_of(u64::MAX); 3]);
    bench.pass(10 * MS);
    assert!(bench.unit().drain().is_empty());
    assert_eq!(bench.unit().statistics().requests_out_of_range, 6);
}

#[test]
fn the_whole_range_bitmap_of_a_large_device_is_writable_and_acts() {
    let capacity_bytes = 5 << 40;
    let config = BlockConfig {
        capacity_bytes,
        instances: vec![Capabilities::default()],
        quirks: QuirkSet::NONE,
    };
    let mut block = Block::new(&config).unwrap();
    let mut host = Recorder::default();
    let words = capacity_bytes / RANGE_BYTES / 64;
    let bitmap = 0x1000 - words * 8;
    let pattern = |word: u64| (word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for word in 0..words {
        block.write(
            0,
            bitmap + word * 8,
            &pattern(word).to_le_bytes(),
            &mut host,
        );
    }
    for word in 0..words {
        let mut data = [0; 8];
        block.read(0, bitmap + word * 8, &mut data, &mut host);
        assert_eq!(u64::from_le_bytes(data), pattern(word), "word {word}");
    }
    let setup = Setup::default();
    block.write(
        0,
        0x58,
        &setup.configuration_1().into_bits().to_le_bytes(),
        &mut host,
    );
    let configuration_0 = setup.configuration_0().with_enable(true).into_bits();
    block.write(0, 0x50, &configuration_0.to_le_bytes(), &mut host);
    for range in 0..words * 64 {
        let tracked = (pattern(range / 64) >> (range % 64)) & 1;
        let before = block.statistics()[0].requests_counted;
        block.access(0, &[read_of(range * RANGE_BYTES)], &mut host);
        assert_eq!(block.statistics()[0].requests_counted - before, tracked);
    }
}

#[test]
fn every_2_to_the_nth_tracked_request_counts_one_and_is_not_scaled_back() {
    for log2 in [0, 1, 3, 10] {
        let mut bench = Bench::new();
        let setup = Setup {
            down_sampling_log2: log2,
            filter: RequestFilter::AllRead,
            ranges: 1,
            ..Setup::default()
        };
        bench.unit().run(&setup);
        let write = Access::write(Dpa(0));
        // What is not tracked does not take part.
        bench.access(&[write; 3]);
        bench.access(&[read_of(RANGE_BYTES); 3]);
        bench.touch(&[(1, 5 << log2)]);
        bench.pass(10 * MS);
        assert_eq!(bench.unit().drain(), [entry(1, 5)], "2^{log2}");
        let statistics = bench.unit().statistics();
        assert_eq!(statistics.requests_sampled_out, (5 << log2) - 5);
    }
}

#[test]
fn randomised_down_sampling_has_the_factor_as_mean_and_repeats_with_the_seed() {
    let run = |seed| {
        let mut bench = Bench::with(|capabilities| {
            capabilities.seed = seed;
            capabilities.counter_widths = chmu_model::CounterWidths::uniform(32);
        });
        let setup = Setup {
            down_sampling_log2: 3,
            randomise: true,
            ..Setup::default()
        };
        bench.unit().run(&setup);
        for page in 0..80_000 {
            bench.access(&[read_of((page % 10) << 12)]);
        }
        bench.pass(10 * MS);
        bench.unit().drain()
    };
    let entries = run(1);
    let counted: u64 = entries.iter().map(|entry| entry.count).sum();
    assert!((9_500..=10_500).contains(&counted), "{counted}");
    assert_eq!(run(1), entries);
    assert_ne!(run(2), entries);
}
