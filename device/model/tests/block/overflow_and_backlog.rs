// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! More hot units than room, with and without postponed insertion.

use chmu_spec::chmu::{Mode, Status};

use super::fixture::{Bench, MS, Setup, entry};

fn postponed() -> Bench {
    let mut bench = Bench::with(|capabilities| {
        capabilities.hotlist_entries = 3;
        capabilities.postponed_insertion = true;
    });
    let setup = Setup {
        fill_level: 1,
        ..Setup::default()
    };
    bench.unit().run(&setup);
    bench.touch(&[(1, 9), (2, 8), (3, 7), (4, 6), (5, 5)]);
    bench.pass(10 * MS);
    bench
}

#[test]
fn without_postponed_insertion_what_finds_no_room_is_lost() {
    let mut bench = Bench::with_entries(3);
    bench.unit().run(&Setup::default());
    bench.touch(&[(1, 9), (2, 8), (3, 7)]);
    bench.pass(10 * MS);
    assert_eq!(bench.unit().drain(), [entry(1, 9), entry(2, 8)]);
    assert!(bench.unit().list().is_empty());
    assert!(bench.unit().status().overflow());
}

#[test]
fn a_backlog_refills_the_list_in_order_when_the_head_moves() {
    let mut bench = postponed();
    assert!(!bench.unit().status().overflow());
    assert_eq!(bench.unit().list(), [entry(1, 9), entry(2, 8)]);
    bench.unit().set_head(1);
    assert_eq!(bench.unit().drain(), [entry(2, 8), entry(3, 7)]);
    assert_eq!(bench.unit().drain(), [entry(4, 6), entry(5, 5)]);
    assert!(bench.unit().drain().is_empty());
    assert_eq!(bench.unit().statistics().units_reported, 5);
}

#[test]
fn a_refill_raises_the_fill_level() {
    let mut bench = postponed();
    assert_eq!(bench.interrupts(), 1);
    bench
        .unit()
        .write(0x60, Status::new().with_fill_level(true).into_bits());
    bench.unit().drain();
    assert!(bench.unit().status().fill_level());
    assert_eq!(bench.interrupts(), 1);
}

#[test]
fn new_hot_units_wait_behind_the_backlog() {
    let mut bench = postponed();
    bench.touch(&[(6, 20)]);
    bench.pass(10 * MS);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.extend(bench.unit().drain());
    }
    let units: Vec<u64> = seen.iter().map(|entry| entry.unit.0).collect();
    assert_eq!(units, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn the_backlog_outlives_disable_but_not_reset() {
    let mut bench = postponed();
    bench.unit().disable();
    assert_eq!(bench.unit().drain(), [entry(1, 9), entry(2, 8)]);
    assert_eq!(bench.unit().drain(), [entry(3, 7), entry(4, 6)]);
    bench.unit().reset();
    assert!(bench.unit().drain().is_empty());
}

#[test]
fn the_backlog_ends_when_the_instance_is_enabled_again() {
    let mut bench = postponed();
    bench.unit().disable();
    bench.unit().enable();
    assert_eq!(bench.unit().drain(), [entry(1, 9), entry(2, 8)]);
    assert!(bench.unit().drain().is_empty());
    assert!(!bench.unit().status().overflow());
}

#[test]
fn a_full_backlog_loses_what_comes_last() {
    let mut bench = Bench::with(|capabilities| {
        capabilities.hotlist_entries = 2;
        capabilities.postponed_insertion = true;
    });
    let setup = Setup {
        mode: Mode::AlwaysOn,
        threshold: 1,
        ..Setup::default()
    };
    bench.unit().run(&setup);
    let pages: Vec<(u64, usize)> = (0..=1 << 16).map(|page| (page, 1)).collect();
    bench.touch(&pages);
    assert!(!bench.unit().status().overflow());
    bench.touch(&[(1 << 17, 1)]);
    assert!(bench.unit().status().overflow());
    assert_eq!(bench.unit().statistics().units_dropped, 1);
    let mut seen = Vec::new();
    while let [entry] = bench.unit().drain()[..] {
        seen.push(entry.unit.0);
    }
    let expected: Vec<u64> = (0..=1 << 16).collect();
    assert!(seen == expected);
}
