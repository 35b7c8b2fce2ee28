// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Status bits and their interrupts.

use chmu_spec::chmu::{Mode, Status};

use super::fixture::{Bench, MS, Setup};

/// Appends pages one by one to a list of 4 entries that is more than full with 2.
fn running() -> Bench {
    let mut bench = Bench::with(|capabilities| {
        capabilities.hotlist_entries = 5;
        capabilities.message_number = 9;
    });
    let setup = Setup {
        mode: Mode::AlwaysOn,
        threshold: 1,
        fill_level: 2,
        ..Setup::default()
    };
    bench.unit().run(&setup);
    bench
}

fn clear(bench: &mut Bench, bits: Status) {
    bench.unit().write(0x60, bits.into_bits());
}

#[test]
fn overflow_is_set_when_an_entry_is_lost_not_when_the_ring_is_full() {
    let mut bench = running();
    bench.touch(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
    assert!(!bench.unit().status().overflow());
    assert_eq!(bench.unit().statistics().units_reported, 4);
    bench.touch(&[(5, 1)]);
    assert!(bench.unit().status().overflow());
    assert_eq!(bench.unit().statistics().units_dropped, 1);
}

#[test]
fn the_fill_level_is_set_above_its_threshold_and_rearmed_at_or_below() {
    let mut bench = running();
    bench.touch(&[(1, 1), (2, 1)]);
    assert!(!bench.unit().status().fill_level());
    bench.touch(&[(3, 1)]);
    assert!(bench.unit().status().fill_level());
    assert_eq!(bench.interrupts(), 1);
    bench.unit().set_head(1);
    clear(&mut bench, Status::new().with_fill_level(true));
    assert!(!bench.unit().status().fill_level());
    bench.unit().set_head(2);
    bench.touch(&[(4, 1)]);
    assert!(!bench.unit().status().fill_level());
    bench.touch(&[(5, 1)]);
    assert!(bench.unit().status().fill_level());
    assert_eq!(bench.interrupts(), 1);
}

#[test]
fn status_bits_are_cleared_by_writing_one() {
    let mut bench = running();
    bench.touch(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
    let both = bench.unit().status();
    assert!(both.overflow() && both.fill_level());
    clear(&mut bench, Status::new());
    assert_eq!(bench.unit().status(), both);
    clear(&mut bench, Status::new().with_overflow(true));
    assert_eq!(bench.unit().status(), both.with_overflow(false));
    clear(&mut bench, Status::new().with_fill_level(true));
    let none = both.with_overflow(false).with_fill_level(false);
    assert_eq!(bench.unit().status(), none);
    clear(&mut bench, Status::from_bits(u64::MAX));
    assert_eq!(bench.unit().status(), none);
}

#[test]
fn status_bits_are_cleared_by_a_write_of_their_byte() {
    let mut bench = running();
    bench.touch(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
    bench.unit().write_bytes(0x65, &[2]);
    let status = bench.unit().status();
    assert!(status.overflow() && !status.fill_level());
}

#[test]
fn an_interrupt_is_sent_when_an_enabled_bit_rises() {
    let mut bench = running();
    bench.touch(&[(1, 1), (2, 1), (3, 1)]);
    assert_eq!(bench.host.interrupts, [9]);
    bench.touch(&[(4, 1)]);
    assert_eq!(bench.host.interrupts, [9]);
    bench.touch(&[(5, 1)]);
    assert_eq!(bench.host.interrupts, [9, 9]);
    bench.touch(&[(6, 1)]);
    assert_eq!(bench.host.interrupts, [9, 9]);
    clear(&mut bench, Status::from_bits(u64::MAX));
    bench.touch(&[(7, 1)]);
    // Both bits rise with this entry: one message.
    assert_eq!(bench.host.interrupts, [9, 9, 9]);
    assert_eq!(bench.unit().statistics().interrupts, 3);
}

#[test]
fn no_interrupt_is_sent_for_a_bit_whose_enable_is_clear() {
    for (overflow_interrupt, fill_level_interrupt) in [(false, false), (true, false), (false, true)]
    {
        let mut bench = running();
        bench.unit().disable();
        let setup = Setup {
            mode: Mode::AlwaysOn,
            threshold: 1,
            fill_level: 2,
            overflow_interrupt,
            fill_level_interrupt,
            ..Setup::default()
        };
        bench.unit().run(&setup);
        bench.touch(&[(1, 1), (2, 1), (3, 1)]);
        assert_eq!(bench.interrupts(), usize::from(fill_level_interrupt));
        bench.touch(&[(4, 1), (5, 1)]);
        assert_eq!(bench.interrupts(), usize::from(overflow_interrupt));
        let status = bench.unit().status();
        assert!(status.overflow() && status.fill_level());
    }
}

#[test]
fn conditions_that_still_hold_set_the_bit_again_at_the_next_insertion() {
    let mut bench = running();
    bench.touch(&[(1, 1), (2, 1), (3, 1)]);
    clear(&mut bench, Status::new().with_fill_level(true));
    assert!(!bench.unit().status().fill_level());
    assert_eq!(bench.interrupts(), 1);
    bench.touch(&[(4, 1)]);
    assert!(bench.unit().status().fill_level());
    assert_eq!(bench.interrupts(), 1);
}

#[test]
fn conditions_that_still_hold_set_the_bit_again_at_the_next_epoch_end() {
    let mut bench = Bench::with_entries(5);
    let setup = Setup {
        fill_level: 2,
        ..Setup::default()
    };
    bench.unit().run(&setup);
    bench.touch(&[(1, 2), (2, 2), (3, 2)]);
    bench.pass(10 * MS);
    assert_eq!(bench.interrupts(), 1);
    clear(&mut bench, Status::new().with_fill_level(true));
    assert!(!bench.unit().status().fill_level());
    bench.pass(10 * MS);
    assert!(bench.unit().status().fill_level());
    assert_eq!(bench.interrupts(), 1);
    assert!(!bench.unit().status().overflow());
}

#[test]
fn the_status_is_read_only_otherwise() {
    let mut bench = running();
    let before = bench.unit().status();
    bench.unit().write(0x60, u64::MAX);
    bench.unit().write(0x60, 0);
    assert_eq!(bench.unit().status(), before);
}
