// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Global epochs and epochs per counter.

use chmu_model::Event;
use chmu_spec::chmu::EpochType;
use chmu_spec::epoch::{EpochLength, EpochScale};

use super::fixture::{Bench, MS, Setup, entry};

fn per_counter() -> Bench {
    Bench::with(|capabilities| capabilities.epoch_type = EpochType::PerCounter)
}

#[test]
fn global_epochs_start_at_zero_compare_at_the_end_and_clear() {
    let mut bench = Bench::new();
    bench.unit().run(&Setup::default());
    bench.touch(&[(1, 2), (2, 1)]);
    bench.pass(10 * MS - 1);
    assert!(bench.unit().list().is_empty());
    bench.pass(1);
    assert_eq!(bench.unit().drain(), [entry(1, 2)]);
    bench.touch(&[(1, 1), (2, 1)]);
    bench.pass(10 * MS);
    assert!(bench.unit().drain().is_empty());
}

#[test]
fn an_access_at_the_end_of_an_epoch_belongs_to_the_next() {
    let mut bench = Bench::new();
    bench.unit().run(&Setup::default());
    bench.touch(&[(1, 1)]);
    bench.now_ns = 10 * MS;
    bench.touch(&[(1, 2)]);
    assert!(bench.unit().list().is_empty());
    bench.pass(10 * MS);
    assert_eq!(bench.unit().list(), [entry(1, 2)]);
}

#[test]
fn idle_epochs_are_caught_up_at_once() {
    let mut bench = Bench::with(|capabilities| {
        capabilities.minimum_epoch = EpochLength::new(EpochScale::HundredMicroseconds, 1).unwrap();
    });
    let setup = Setup {
        epoch: EpochLength::new(EpochScale::HundredMicroseconds, 1).unwrap(),
        ..Setup::default()
    };
    bench.unit().run(&setup);
    bench.touch(&[(7, 2)]);
    let year_ns = 365 * 24 * 3600 * 1_000_000_000;
    bench.pass(year_ns);
    assert_eq!(bench.unit().list(), [entry(7, 2)]);
    assert_eq!(bench.unit().statistics().epochs_closed, year_ns / 100_000);
    assert_eq!(bench.block.next_deadline_ns(), Some(year_ns + 100_000));
}

#[test]
fn only_epochs_with_accesses_are_worth_an_event() {
    let mut bench = Bench::with_entries(2);
    bench.unit().run(&Setup::default());
    bench.touch(&[(1, 2), (2, 2), (3, 1)]);
    bench.pass(30 * MS);
    bench.pass(10 * MS);
    let closed: Vec<&Event> = bench
        .host
        .events
        .iter()
        .filter(|event| matches!(event, Event::EpochClosed { .. }))
        .collect();
    assert_eq!(
        closed,
        [&Event::EpochClosed {
            instance: 0,
            hot_units: 2,
            dropped_units: 1,
            merged_epochs: 2,
        }]
    );
}

#[test]
fn the_hottest_units_are_kept_ties_by_the_lower_unit() {
    let mut bench = Bench::with_entries(5);
    bench.unit().run(&Setup::default());
    bench.touch(&[(9, 2), (3, 4), (8, 7), (2, 2), (1, 2), (5, 4)]);
    bench.pass(10 * MS);
    assert_eq!(
        bench.unit().drain(),
        [entry(8, 7), entry(3, 4), entry(5, 4), entry(1, 2)]
    );
    assert_eq!(bench.unit().statistics().units_dropped, 2);
}

#[test]
fn a_units_epoch_starts_at_its_first_access() {
    let mut bench = per_counter();
    bench.unit().run(&Setup::default());
    assert_eq!(bench.block.next_deadline_ns(), None);
    bench.touch(&[(1, 1)]);
    bench.pass(6 * MS);
    bench.touch(&[(1, 1), (2, 3)]);
    assert_eq!(bench.block.next_deadline_ns(), Some(10 * MS));
    bench.pass(4 * MS);
    assert_eq!(bench.unit().drain(), [entry(1, 2)]);
    bench.touch(&[(1, 1)]);
    assert_eq!(bench.block.next_deadline_ns(), Some(16 * MS));
    bench.pass(6 * MS);
    assert_eq!(bench.unit().drain(), [entry(2, 3)]);
    bench.pass(4 * MS);
    assert!(bench.unit().drain().is_empty());
    assert_eq!(bench.block.next_deadline_ns(), None);
}

#[test]
fn epochs_per_counter_are_caught_up_in_the_order_of_their_ends() {
    let mut bench = per_counter();
    bench.unit().run(&Setup::default());
    bench.touch(&[(5, 2), (4, 3)]);
    bench.pass(MS);
    bench.touch(&[(1, 9)]);
    bench.pass(100 * MS);
    assert_eq!(
        bench.unit().drain(),
        [entry(4, 3), entry(5, 2), entry(1, 9)]
    );
    assert_eq!(bench.unit().statistics().epochs_closed, 0);
}

#[test]
fn a_counter_of_one_bit_has_one_epoch_per_unit() {
    let mut bench = Bench::with(|capabilities| {
        capabilities.epoch_type = EpochType::PerCounter;
        capabilities.counter_widths = chmu_model::CounterWidths::uniform(1);
    });
    let setup = Setup {
        threshold: 1,
        ..Setup::default()
    };
    bench.unit().run(&setup);
    bench.touch(&[(3, 40)]);
    bench.pass(10 * MS);
    assert_eq!(bench.unit().drain(), [entry(3, 1)]);
}
