// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Several instances in a block.

use chmu_model::{Capabilities, Refusal};
use chmu_spec::chmu::Mode;
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

use super::fixture::{Bench, MS, Setup, entry};

fn pair(change: impl Fn(&mut Capabilities)) -> Bench {
    let mut capabilities = vec![Capabilities::default(); 2];
    capabilities.iter_mut().for_each(change);
    Bench::of(capabilities, None)
}

#[test]
fn instances_count_on_their_own() {
    let mut bench = pair(|_| {});
    bench.instance(0).run(&Setup::default());
    let coarse = Setup {
        unit_size: UnitSize::from_bytes(2 << 20).unwrap(),
        mode: Mode::AlwaysOn,
        threshold: 4,
        ..Setup::default()
    };
    bench.instance(1).run(&coarse);
    bench.touch(&[(512, 2), (513, 3), (1, 3)]);
    assert!(bench.instance(0).list().is_empty());
    assert_eq!(bench.instance(1).drain(), [entry(1, 4)]);
    bench.pass(10 * MS);
    assert!(bench.instance(1).list().is_empty());
    assert_eq!(
        bench.instance(0).drain(),
        [entry(1, 3), entry(513, 3), entry(512, 2)]
    );
    assert_eq!(bench.instance(1).head(), 1);
}

#[test]
fn each_instance_has_registers_and_a_message_of_its_own() {
    let mut capabilities = vec![Capabilities::default(); 3];
    for (number, one) in (1..).zip(&mut capabilities) {
        one.message_number = number;
        one.hotlist_entries = 2;
    }
    let mut bench = Bench::of(capabilities, None);
    for index in 0..3 {
        let setup = Setup {
            threshold: u32::from(index) + 1,
            fill_level: 0,
            mode: Mode::AlwaysOn,
            ..Setup::default()
        };
        bench.instance(index).run(&setup);
    }
    for index in 0..3 {
        let configuration = bench.instance(index).read(0x40);
        assert_eq!(configuration >> 32, u64::from(index) + 1);
        bench.touch(&[(1, 1)]);
        assert_eq!(bench.host.interrupts.last(), Some(&(index + 1)));
        assert!(bench.instance(index).status().fill_level());
    }
}

#[test]
fn an_instance_of_its_own_ranges_may_be_enabled() {
    let mut bench = pair(|one| one.overlapping_ranges = false);
    for index in 0..2 {
        let setup = Setup {
            ranges: 0b01 << index,
            ..Setup::default()
        };
        bench.instance(index).run(&setup);
    }
    assert!(bench.refusals().is_empty());
}

#[test]
fn a_range_that_another_instance_tracks_is_refused_without_overlapping_ranges() {
    for (first, second, accepted) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
        (false, false, false),
    ] {
        let mut capabilities = vec![Capabilities::default(); 2];
        capabilities[0].overlapping_ranges = first;
        capabilities[1].overlapping_ranges = second;
        let mut bench = Bench::of(capabilities, None);
        let setup = Setup {
            ranges: 0b0011,
            ..Setup::default()
        };
        bench.instance(0).run(&setup);
        let setup = Setup {
            ranges: 0b0110,
            ..Setup::default()
        };
        bench.instance(1).configure(&setup);
        bench.instance(1).enable();
        assert_eq!(bench.instance(1).status().enabled(), accepted);
        assert_eq!(
            bench.refusals().contains(&Refusal::OverlappingRange),
            !accepted
        );
        bench.instance(0).disable();
        bench.instance(1).enable();
        assert!(bench.instance(1).status().enabled());
    }
}

#[test]
fn a_range_is_taken_while_its_instance_is_being_enabled() {
    let mut bench = pair(|one| {
        one.overlapping_ranges = false;
        one.operation_delay_ns = MS;
    });
    for index in 0..2 {
        bench.instance(index).configure(&Setup::default());
        bench.instance(index).enable();
    }
    assert_eq!(bench.refusals(), [Refusal::OverlappingRange]);
    bench.pass(MS);
    assert!(bench.instance(0).status().enabled());
    assert!(!bench.instance(1).status().enabled());
}

#[test]
fn operations_and_epochs_of_instances_end_on_their_own() {
    let mut bench = pair(|one| one.operation_delay_ns = MS);
    bench.instance(0).configure(&Setup::default());
    bench.instance(0).enable();
    bench.pass(MS);
    let reads = Setup {
        filter: RequestFilter::NonTeeRead,
        ..Setup::default()
    };
    bench.instance(1).configure(&reads);
    bench.instance(1).enable();
    assert_eq!(bench.block.next_deadline_ns(), Some(2 * MS));
    bench.pass(MS);
    assert_eq!(bench.block.next_deadline_ns(), Some(11 * MS));
    bench.touch(&[(1, 2)]);
    bench.pass(9 * MS);
    assert_eq!(bench.instance(0).drain(), [entry(1, 2)]);
    assert!(bench.instance(1).list().is_empty());
    assert_eq!(bench.block.next_deadline_ns(), Some(12 * MS));
    bench.pass(MS);
    assert_eq!(bench.instance(1).drain(), [entry(1, 2)]);
}

#[test]
fn lists_of_all_sizes_share_a_block() {
    let mut capabilities = vec![Capabilities::default(); 3];
    for (one, entries) in capabilities.iter_mut().zip([2, 65535, 4000]) {
        one.hotlist_entries = entries;
    }
    let mut bench = Bench::of(capabilities, None);
    for index in 0..3 {
        bench.instance(index).run(&Setup::default());
        let hotlist = bench.instance(index).read(0x18);
        let length = u64::from_le_bytes(bench.read(8));
        let start = 0x10 + u64::from(index) * length + hotlist;
        assert_eq!(start, bench.block.hotlist_areas()[usize::from(index)].start);
    }
    bench.touch(&[(1, 2)]);
    bench.pass(10 * MS);
    for index in 0..3 {
        assert_eq!(bench.instance(index).drain(), [entry(1, 2)]);
    }
}
