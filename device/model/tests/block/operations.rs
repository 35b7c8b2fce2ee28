// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Enable, disable, reset and power-on.

use chmu_model::Event;
use chmu_spec::chmu::{Configuration0, Operation};

use super::fixture::{Bench, MS, RANGES, Setup, entry, read_of};

const DELAY_NS: u64 = 3 * MS;

fn slow() -> Bench {
    Bench::with(|capabilities| capabilities.operation_delay_ns = DELAY_NS)
}

#[test]
fn operations_take_their_time_and_show_their_codes() {
    let mut bench = slow();
    bench.unit().configure(&Setup::default());
    bench.unit().enable();
    for (operation, enabled) in [(Operation::Enable, false), (Operation::Disable, true)] {
        let status = bench.unit().status();
        assert_eq!(status.operation(), Some(operation));
        assert_eq!(status.enabled(), enabled);
        assert!(bench.block.next_deadline_ns() <= Some(bench.now_ns + DELAY_NS));
        bench.pass(DELAY_NS - 1);
        assert_eq!(bench.unit().status(), status);
        bench.pass(1);
        let status = bench.unit().status();
        assert_eq!(status.operation_code(), 0);
        assert_eq!(status.enabled(), !enabled);
        assert_eq!(bench.block.is_counting(), !enabled);
        bench.unit().disable();
    }
    bench.unit().reset();
    assert_eq!(bench.unit().status().operation(), Some(Operation::Reset));
    bench.pass(DELAY_NS);
    assert_eq!(bench.unit().status().operation_code(), 0);
    assert_eq!(bench.block.next_deadline_ns(), None);
}

#[test]
fn operations_without_a_delay_are_complete_at_once() {
    let mut bench = Bench::new();
    bench.unit().configure(&Setup::default());
    bench.unit().enable();
    assert!(bench.unit().status().enabled());
    bench.unit().disable();
    assert!(!bench.unit().status().enabled());
    bench.unit().reset();
    assert_eq!(bench.unit().status().operation_code(), 0);
}

#[test]
fn counting_and_the_first_epoch_start_when_enable_is_complete() {
    let mut bench = slow();
    bench.unit().configure(&Setup::default());
    bench.unit().enable();
    bench.touch(&[(1, 5)]);
    bench.pass(DELAY_NS);
    bench.touch(&[(2, 5)]);
    assert_eq!(bench.block.next_deadline_ns(), Some(13 * MS));
    bench.pass(10 * MS - 1);
    assert!(bench.unit().list().is_empty());
    bench.pass(1);
    assert_eq!(bench.unit().list(), [entry(2, 5)]);
}

#[test]
fn an_enable_is_in_progress_until_the_source_of_accesses_is_ready() {
    let mut bench = Bench::new();
    bench.unit().configure(&Setup::default());
    bench.set_source_ready(false);
    bench.unit().enable();
    bench.touch(&[(1, 5)]);
    bench.pass(7 * MS);
    let status = bench.unit().status();
    assert_eq!(status.operation(), Some(Operation::Enable));
    assert!(!status.enabled() && !bench.block.is_counting());
    assert!(bench.block.wants_accesses());
    assert_eq!(bench.block.next_deadline_ns(), None);

    bench.set_source_ready(true);
    let status = bench.unit().status();
    assert_eq!(status.operation_code(), 0);
    assert!(status.enabled());
    bench.touch(&[(2, 5)]);
    assert_eq!(bench.block.next_deadline_ns(), Some(17 * MS));
    bench.pass(10 * MS);
    assert_eq!(bench.unit().list(), [entry(2, 5)]);
    bench.set_source_ready(false);
    assert!(bench.unit().status().enabled(), "it was ready once");
    bench.unit().disable();
    assert!(!bench.unit().status().enabled());
    assert!(!bench.block.wants_accesses());
}

#[test]
fn an_enable_takes_its_time_also_with_a_source_that_is_ready() {
    for ready_after_ns in [DELAY_NS - 1, DELAY_NS + 1] {
        let mut bench = slow();
        bench.unit().configure(&Setup::default());
        bench.set_source_ready(false);
        bench.unit().enable();
        bench.pass(ready_after_ns);
        bench.set_source_ready(true);
        bench.pass(DELAY_NS.saturating_sub(ready_after_ns));
        assert!(bench.unit().status().enabled());
        let start_ns = DELAY_NS.max(ready_after_ns);
        assert_eq!(bench.block.next_deadline_ns(), Some(start_ns + 10 * MS));
    }
}

#[test]
fn a_reset_gives_up_an_enable_that_waits() {
    let mut bench = Bench::new();
    bench.unit().configure(&Setup::default());
    bench.set_source_ready(false);
    bench.unit().enable();
    bench.unit().reset();
    assert_eq!(bench.unit().status().operation_code(), 0);
    assert!(!bench.block.wants_accesses());
    bench.unit().enable();
    bench.block.reset();
    bench.set_source_ready(true);
    assert!(!bench.unit().status().enabled());
}

#[test]
fn a_late_advance_completes_everything_in_order() {
    let mut bench = slow();
    bench.unit().configure(&Setup::default());
    bench.unit().enable();
    bench.pass(DELAY_NS);
    bench.touch(&[(2, 5)]);
    bench.now_ns += 9 * MS;
    bench.unit().disable();
    bench.pass(100 * MS);
    // The epoch ended at 13 ms, before the disable operation at 15 ms.
    assert_eq!(bench.unit().list(), [entry(2, 5)]);
    assert_eq!(bench.unit().statistics().epochs_closed, 1);
    assert!(!bench.unit().status().enabled());
}

#[test]
fn the_enable_bit_is_fixed_while_an_operation_is_in_progress() {
    let mut bench = slow();
    bench.unit().configure(&Setup::default());
    bench.unit().enable();
    bench.unit().disable();
    let configuration = Configuration0::from_bits(bench.unit().read(0x40));
    assert!(configuration.enable());
    bench.pass(DELAY_NS);
    assert!(bench.unit().status().enabled());
}

#[test]
fn reset_zeroes_counters_empties_the_list_and_keeps_the_configuration() {
    let mut bench = Bench::with_entries(4);
    let setup = Setup {
        fill_level: 1,
        ..Setup::default()
    };
    bench.unit().run(&setup);
    bench.touch(&[(1, 2), (2, 2), (3, 2), (4, 2), (5, 1)]);
    bench.pass(10 * MS);
    bench.touch(&[(6, 1)]);
    let status = bench.unit().status();
    assert!(status.overflow() && status.fill_level());
    bench.unit().set_head(1);
    bench.unit().reset();

    let mut unit = bench.unit();
    assert_eq!((unit.head(), unit.tail()), (0, 0));
    let status = unit.status();
    assert!(!status.overflow() && !status.fill_level() && !status.enabled());
    assert_eq!(unit.read(0x40), setup.configuration_0().into_bits());
    assert_eq!(unit.read(0x48), setup.configuration_1().into_bits());
    assert_eq!(unit.read(0x50), 1);
    assert_eq!(unit.read(RANGES), u64::MAX);
    assert!(bench.host.events.contains(&Event::Reset { instance: 0 }));

    bench.unit().enable();
    bench.touch(&[(6, 1)]);
    bench.pass(10 * MS);
    assert!(bench.unit().list().is_empty());
}

#[test]
fn reset_gives_up_any_other_operation() {
    let mut bench = slow();
    bench.unit().configure(&Setup::default());
    bench.unit().enable();
    bench.pass(DELAY_NS - 1);
    bench.unit().reset();
    assert_eq!(bench.unit().status().operation(), Some(Operation::Reset));
    bench.pass(DELAY_NS);
    let status = bench.unit().status();
    assert_eq!((status.operation_code(), status.enabled()), (0, false));
    assert_eq!(bench.unit().statistics().enables, 0);
}

#[test]
fn reset_wins_over_enable_in_the_same_write() {
    let mut bench = Bench::new();
    bench.unit().configure(&Setup::default());
    let both = Setup::default()
        .configuration_0()
        .with_enable(true)
        .with_reset(true);
    bench.unit().write(0x40, both.into_bits());
    assert!(!bench.unit().status().enabled());
    let kept = Setup::default().configuration_0().into_bits();
    assert_eq!(bench.unit().read(0x40), kept);
}

#[test]
fn disable_stops_counting_and_leaves_the_list() {
    let mut bench = Bench::new();
    bench.unit().run(&Setup::default());
    bench.touch(&[(1, 3)]);
    bench.pass(10 * MS);
    bench.touch(&[(2, 3)]);
    bench.unit().disable();
    bench.touch(&[(3, 3)]);
    bench.pass(50 * MS);
    assert!(!bench.block.is_counting());
    assert_eq!(bench.block.next_deadline_ns(), None);
    assert_eq!(bench.unit().drain(), [entry(1, 3)]);
    assert!(bench.unit().list().is_empty());

    bench.unit().enable();
    bench.touch(&[(4, 3)]);
    bench.pass(10 * MS);
    assert_eq!(bench.unit().drain(), [entry(4, 3)]);
    assert_eq!(bench.unit().statistics().requests, 9);
}

#[test]
fn a_function_level_reset_puts_everything_back_to_power_on() {
    let mut bench = Bench::with_entries(4);
    let fresh: [u8; 0x180] = bench.read(0);
    bench.unit().run(&Setup::default());
    bench.touch(&[(1, 3), (2, 3), (3, 3), (4, 3)]);
    bench.pass(10 * MS);
    bench.unit().set_head(1);
    bench.touch(&[(5, 1)]);
    let statistics = bench.block.statistics();
    bench.block.reset();
    assert_eq!(bench.read(0), fresh);
    assert!(!bench.block.is_counting());
    assert_eq!(bench.block.next_deadline_ns(), None);
    assert_eq!(bench.block.statistics(), statistics);

    bench.unit().run(&Setup::default());
    bench.touch(&[(5, 1), (6, 2)]);
    bench.pass(10 * MS);
    assert_eq!(bench.unit().drain(), [entry(6, 2)]);
}

#[test]
fn a_function_level_reset_ends_an_operation() {
    let mut bench = slow();
    bench.unit().configure(&Setup::default());
    bench.unit().enable();
    bench.block.reset();
    bench.pass(DELAY_NS);
    let status = bench.unit().status();
    assert_eq!((status.operation_code(), status.enabled()), (0, false));
}

#[test]
fn time_that_runs_backwards_stands_still() {
    let mut bench = Bench::new();
    bench.pass(50 * MS);
    bench.unit().run(&Setup::default());
    bench.now_ns = 0;
    bench.access(&[read_of(0x1000), read_of(0x1000)]);
    bench.pass(55 * MS);
    assert!(bench.unit().list().is_empty());
    bench.pass(5 * MS);
    assert_eq!(bench.unit().list(), [entry(1, 2)]);
}

#[test]
fn the_end_of_time_is_no_trouble() {
    let mut bench = Bench::with(|capabilities| capabilities.operation_delay_ns = MS);
    bench.now_ns = u64::MAX - 2 * MS;
    bench.unit().configure(&Setup::default());
    bench.unit().enable();
    bench.touch(&[(1, 2)]);
    bench.pass(2 * MS);
    assert!(bench.unit().status().enabled());
    bench.touch(&[(1, 2)]);
    assert_eq!(bench.block.next_deadline_ns(), None);
    assert!(bench.unit().list().is_empty());
}
