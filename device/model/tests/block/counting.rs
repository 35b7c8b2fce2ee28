// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Thresholds, saturation, always-on mode and unit sizes.

use chmu_model::CounterWidths;
use chmu_spec::chmu::Mode;
use chmu_spec::unit_size::UnitSize;

use super::fixture::{Bench, CAPACITY_BYTES, MS, Setup, entry, read_of};

fn always_on(threshold: u32) -> Setup {
    Setup {
        mode: Mode::AlwaysOn,
        threshold,
        ..Setup::default()
    }
}

#[test]
fn a_unit_is_hot_when_its_count_reaches_the_threshold() {
    for threshold in [1, 2, 7] {
        let mut bench = Bench::new();
        let setup = Setup {
            threshold,
            ..Setup::default()
        };
        bench.unit().run(&setup);
        let times = usize::try_from(threshold).unwrap();
        bench.touch(&[(1, times - 1), (2, times), (3, times + 1)]);
        bench.pass(10 * MS);
        let count = u64::from(threshold);
        assert_eq!(bench.unit().drain(), [entry(3, count + 1), entry(2, count)]);
    }
}

#[test]
fn with_threshold_zero_a_unit_needs_an_access() {
    let mut bench = Bench::new();
    let setup = Setup {
        threshold: 0,
        ..Setup::default()
    };
    bench.unit().run(&setup);
    bench.touch(&[(4, 1)]);
    bench.pass(10 * MS);
    assert_eq!(bench.unit().drain(), [entry(4, 1)]);
}

#[test]
fn counts_saturate_at_the_counter_width() {
    let mut bench = Bench::with(|one| one.counter_widths = CounterWidths::uniform(4));
    bench.unit().run(&Setup::default());
    bench.touch(&[(1, 15), (2, 16), (3, 40)]);
    bench.pass(10 * MS);
    assert_eq!(
        bench.unit().drain(),
        [entry(1, 15), entry(2, 15), entry(3, 15)]
    );
}

#[test]
fn always_on_appends_at_the_threshold_and_frees_the_counter() {
    let mut bench = Bench::new();
    bench.unit().run(&always_on(3));
    assert_eq!(bench.block.next_deadline_ns(), None);
    bench.touch(&[(1, 2), (2, 2)]);
    assert!(bench.unit().list().is_empty());
    bench.touch(&[(2, 1)]);
    assert_eq!(bench.unit().drain(), [entry(2, 3)]);
    bench.touch(&[(2, 2)]);
    assert!(bench.unit().list().is_empty());
    bench.touch(&[(2, 1), (1, 1)]);
    assert_eq!(bench.unit().drain(), [entry(2, 3), entry(1, 3)]);
}

#[test]
fn always_on_reports_the_threshold_as_count() {
    for threshold in [0, 1, 5] {
        let mut bench = Bench::new();
        bench.unit().run(&always_on(threshold));
        bench.touch(&[(6, 5)]);
        let count = u64::from(threshold.max(1));
        let entries = bench.unit().drain();
        assert_eq!(entries.len() as u64, 5 / count);
        assert!(entries.iter().all(|seen| *seen == entry(6, count)));
    }
}

#[test]
fn always_on_appends_in_the_order_in_which_units_become_hot() {
    let mut bench = Bench::new();
    bench.unit().run(&always_on(2));
    let pages = [5, 3, 3, 5, 1, 1];
    bench.access(&pages.map(|page| read_of(page << 12)));
    assert_eq!(
        bench.unit().drain(),
        [entry(3, 2), entry(5, 2), entry(1, 2)]
    );
}

#[test]
fn a_unit_is_its_address_divided_by_its_size() {
    for log2_bytes in [8, 12, 16, 21, 28, 31] {
        let unit_size = UnitSize::from_log2_bytes(log2_bytes).unwrap();
        let mut bench = Bench::with(|one| one.unit_sizes = UnitSize::all().collect());
        let setup = Setup {
            unit_size,
            ..Setup::default()
        };
        bench.unit().run(&setup);
        let last = CAPACITY_BYTES - 1;
        bench.access(&[read_of(last), read_of(last - last % unit_size.bytes())]);
        bench.pass(10 * MS);
        assert_eq!(bench.unit().drain(), [entry(last >> log2_bytes, 2)]);
    }
}

#[test]
fn enabling_again_starts_from_zero() {
    let mut bench = Bench::new();
    bench.unit().run(&always_on(2));
    bench.touch(&[(1, 1)]);
    bench.unit().disable();
    bench.unit().enable();
    bench.touch(&[(1, 1)]);
    assert!(bench.unit().list().is_empty());
}
