// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an access, an epoch's end, an enable and a disable cost the device:
//! `cargo bench -p chmu-cxl`.
//!
//! The floor of an access is a loop that increments one counter of a plain array for the same
//! addresses: what counting costs when nothing is translated, filtered or limited. The floor of an
//! epoch's end is sorting as many entries as it reports; it should cost as much after accesses to
//! many units as to few. An enable and a disable should cost as much with a large device as with a
//! small one.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::cmp::Reverse;
use std::hint::black_box;
use std::time::Instant;

use chmu_cxl::{
    DEFAULT_HDM_DECODERS, DecoderConfig, Function, FunctionConfig, FunctionEvent, FunctionHost,
    Performance, Profile, Region,
};
use chmu_model::Capabilities;
use chmu_spec::access::Access;
use chmu_spec::address::Hpa;
use chmu_spec::unit_size::UnitSize;

const ACCESSES: usize = 32_768;
const ROUNDS: usize = 200;
const BASE: u64 = 1 << 32;
const CAPACITY: u64 = 1 << 30;
const PAGE_SHIFT: u32 = 12;
/// The first instance of the first block, in BAR4.
const INSTANCE: u64 = 0x10;
const CONFIGURATION_0: u64 = INSTANCE + 0x40;
const CONFIGURATION_1: u64 = INSTANCE + 0x48;
/// Where the offset of the range bitmap stands.
const RANGES_OFFSET: u64 = INSTANCE + 0x10;
const HEAD: u64 = INSTANCE + 0x68;
const EPOCH_NS: u64 = 100_000_000;

/// A host that keeps nothing.
struct Nowhere;

impl FunctionHost for Nowhere {
    fn store(&mut self, _bar: u8, _offset: u64, value: u64) {
        black_box(value);
    }

    fn load(&mut self, _bar: u8, _offset: u64) -> u64 {
        0
    }

    fn interrupt(&mut self, vector: u16) {
        black_box(vector);
    }

    fn event(&mut self, event: FunctionEvent) {
        black_box(event);
    }
}

/// A device that counts units of 4 KiB in epochs of 100 ms.
fn counting(threshold: u64) -> Function {
    let mut function = device(CAPACITY, Profile::Default.blocks());
    enable(&mut function, u64::from(PAGE_SHIFT), threshold);
    function
}

fn device(capacity_bytes: u64, blocks: Vec<Vec<Capabilities>>) -> Function {
    let config = FunctionConfig {
        serial_number: 1,
        capacity_bytes,
        performance: Performance::default(),
        hdm_decoders: DEFAULT_HDM_DECODERS,
        decoders: vec![DecoderConfig {
            base: Hpa(BASE),
            size_bytes: capacity_bytes,
            ways: 1,
            granularity_bytes: 256,
            position: 0,
            dpa_skip_bytes: 0,
            tee: false,
        }],
        blocks,
        interrupts: Profile::Default.interrupts(),
        quirks: chmu_model::QuirkSet::NONE,
    };
    let mut function = Function::new(&config).unwrap();
    // Memory decoding and bus mastering on; then unit size, epoch, ranges, threshold and enable.
    function.write(0, Region::Config, 4, &6_u16.to_le_bytes(), &mut Nowhere);
    function
}

/// Counts the first 16 GiB in units of 2^`unit_log2` bytes and epochs of 100 ms.
fn enable(function: &mut Function, unit_log2: u64, threshold: u64) {
    let mut ranges = [0; 8];
    function.read(0, Region::Bar(4), RANGES_OFFSET, &mut ranges, &mut Nowhere);
    let writes = [
        (CONFIGURATION_1, unit_log2 | 4 << 48 | 1 << 52),
        (INSTANCE + u64::from_le_bytes(ranges), u64::MAX),
        (CONFIGURATION_0, 3 | 1 << 16 | threshold << 32),
    ];
    for (offset, value) in writes {
        let value: u64 = value;
        function.write(
            0,
            Region::Bar(4),
            offset,
            &value.to_le_bytes(),
            &mut Nowhere,
        );
    }
    assert!(function.is_counting(), "The configuration is accepted");
}

/// Ends epochs in which units were accessed and none was hot.
fn quiet_ends() {
    println!("\n{ROUNDS} epoch ends without hot units, ns");
    let mut floor = None;
    for pages in [4096, CAPACITY >> PAGE_SHIFT] {
        let all: Vec<_> = (0..pages)
            .map(|page| Access::read(Hpa(BASE + (page << PAGE_SHIFT))))
            .collect();
        let mut function = counting(1000);
        let mut now = 0;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            function.access(now, &all, &mut Nowhere);
            now += EPOCH_NS;
            let start = Instant::now();
            function.advance(now, &mut Nowhere);
            rounds.push(start.elapsed().as_secs_f64() * 1e9);
        }
        rounds.sort_by(f64::total_cmp);
        let times = (rounds[0], rounds[ROUNDS / 2]);
        let floor = *floor.get_or_insert(times.0);
        print(&format!("{pages} units accessed"), times, floor);
    }
}

/// Enables and disables a device of 1 GiB and one of 7 TiB in units of 256 B, with 512 accesses
/// to different units in between.
fn switches() {
    const ROUNDS: usize = 20;
    println!("\n{ROUNDS} enables and disables with units of 256 B, ns");
    let instance = Capabilities {
        unit_sizes: UnitSize::all().collect(),
        ..Capabilities::default()
    };
    let mut floors = [0.0; 2];
    for (name, capacity) in [("1 GiB", CAPACITY), ("7 TiB", 7 << 40)] {
        let mut function = device(capacity, vec![vec![instance.clone()]]);
        let [mut enables, mut disables] = [[0.0; ROUNDS]; 2];
        for (enabled, disabled) in enables.iter_mut().zip(&mut disables) {
            let start = Instant::now();
            enable(&mut function, 8, 1000);
            *enabled = start.elapsed().as_secs_f64() * 1e9;
            function.access(0, &accesses(512)[..512], &mut Nowhere);
            let start = Instant::now();
            function.write(0, Region::Bar(4), CONFIGURATION_0, &[0; 8], &mut Nowhere);
            *disabled = start.elapsed().as_secs_f64() * 1e9;
        }
        let whats = [("enable", enables), ("disable", disables)];
        for ((what, mut rounds), floor) in whats.into_iter().zip(&mut floors) {
            rounds.sort_by(f64::total_cmp);
            if *floor == 0.0 {
                *floor = rounds[0];
            }
            print(
                &format!("{what}, {name}"),
                (rounds[0], rounds[ROUNDS / 2]),
                *floor,
            );
        }
    }
}

/// Addresses all over a working set of `pages` pages, the same in each run.
fn accesses(pages: u64) -> Vec<Access<Hpa>> {
    let mut state = 1_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let page = (state >> 33) % pages;
        Access::read(Hpa(BASE + (page << PAGE_SHIFT)))
    };
    (0..ACCESSES).map(next).collect()
}

/// Nanoseconds per item: minimum and median of the rounds.
fn measure(items: usize, mut round: impl FnMut()) -> (f64, f64) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64() * 1e9 / items as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    (rounds[0], rounds[ROUNDS / 2])
}

fn print(name: &str, (minimum, median): (f64, f64), floor: f64) {
    println!(
        "{name:<34} {minimum:>8.2} {median:>8.2} {:>17.2}",
        minimum / floor
    );
}

fn main() {
    println!("{ROUNDS} rounds of {ACCESSES} accesses, ns per access");
    println!("                                    minimum   median   minimum / floor");
    for pages in [512, 262_144] {
        let accesses = accesses(pages);
        let mut counters = vec![0_u32; (CAPACITY >> PAGE_SHIFT) as usize];
        let floor = measure(ACCESSES, || {
            for access in &accesses {
                let page = (access.address().0 - BASE) >> PAGE_SHIFT;
                counters[page as usize] = counters[page as usize].wrapping_add(1);
            }
            black_box(&mut counters);
        });
        let mut function = counting(1000);
        let device = measure(ACCESSES, || function.access(0, &accesses, &mut Nowhere));
        print(&format!("array, {pages} pages"), floor, floor.0);
        print(&format!("device, {pages} pages"), device, floor.0);
    }

    println!("\n{ROUNDS} epoch ends with 512 hot units among 4096 accessed, ns per hot unit");
    let hot = accesses(512);
    let cold: Vec<_> = (0..4096_u64)
        .map(|page| Access::read(Hpa(BASE + (page << PAGE_SHIFT))))
        .collect();
    let mut entries: Vec<(u64, u64)> = (0..512).map(|unit| (unit * 7919 % 512, unit)).collect();
    let unsorted = entries.clone();
    let floor = measure(512, || {
        entries.clone_from(&unsorted);
        entries.sort_unstable_by_key(|(count, unit)| (Reverse(*count), *unit));
        black_box(&mut entries);
    });
    let mut function = counting(2);
    let mut now = 0;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        function.access(now, &hot, &mut Nowhere);
        function.access(now, &cold, &mut Nowhere);
        now += EPOCH_NS;
        let start = Instant::now();
        function.advance(now, &mut Nowhere);
        rounds.push(start.elapsed().as_secs_f64() * 1e9 / 512.0);
        let mut indices = [0; 4];
        function.read(now, Region::Bar(4), HEAD, &mut indices, &mut Nowhere);
        let [_, _, low, high] = indices;
        function.write(now, Region::Bar(4), HEAD, &[low, high], &mut Nowhere);
    }
    rounds.sort_by(f64::total_cmp);
    print("sort", floor, floor.0);
    print("epoch end", (rounds[0], rounds[ROUNDS / 2]), floor.0);
    quiet_ends();
    switches();
}
