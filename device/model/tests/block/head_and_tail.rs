// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ring's indices.

use chmu_model::{Event, Fault};
use chmu_spec::chmu::Mode;

use super::fixture::{Bench, MS, Setup, entry};

fn three_of_eight() -> Bench {
    let mut bench = Bench::with_entries(8);
    bench.unit().run(&Setup::default());
    bench.touch(&[(1, 4), (2, 3), (3, 2)]);
    bench.pass(10 * MS);
    bench
}

#[test]
fn a_write_to_the_tail_is_ignored() {
    let mut bench = three_of_eight();
    bench.unit().write_bytes(0x6a, &[7, 0]);
    assert_eq!(bench.unit().tail(), 3);
    bench.unit().write_bytes(0x68, &[0, 0, 7, 0]);
    assert_eq!((bench.unit().head(), bench.unit().tail()), (0, 3));
    assert_eq!(bench.faults(), 0);
}

#[test]
fn a_head_out_of_range_or_past_the_tail_is_ignored() {
    let mut bench = three_of_eight();
    bench.unit().set_head(1);
    for head in [0, 4, 7, 8, u16::MAX] {
        bench.unit().set_head(head);
        assert_eq!(bench.unit().head(), 1, "head {head}");
        assert_eq!(
            bench.host.events.last(),
            Some(&Event::Fault {
                instance: Some(0),
                fault: Fault::Head {
                    head,
                    kept: 1,
                    tail: 3
                }
            })
        );
    }
    assert_eq!(bench.unit().drain(), [entry(2, 3), entry(3, 2)]);
}

#[test]
fn the_same_head_again_is_no_fault() {
    let mut bench = three_of_eight();
    bench.unit().set_head(0);
    bench.unit().set_head(3);
    bench.unit().set_head(3);
    assert_eq!(bench.faults(), 0);
}

#[test]
fn the_indices_wrap_around() {
    let mut bench = Bench::with_entries(3);
    let setup = Setup {
        mode: Mode::AlwaysOn,
        threshold: 1,
        ..Setup::default()
    };
    bench.unit().run(&setup);
    for round in 0..10 {
        bench.touch(&[(round, 1), (round + 100, 1)]);
        assert_eq!(
            bench.unit().drain(),
            [entry(round, 1), entry(round + 100, 1)]
        );
    }
    assert_eq!(bench.unit().head(), 20 % 3);
}

#[test]
fn entries_outside_head_and_tail_are_stale_and_no_error() {
    let mut bench = three_of_eight();
    let start = bench.block.hotlist_areas()[0].start;
    let stored = bench.host.entries.get(&start).copied();
    bench.unit().drain();
    bench.unit().reset();
    assert_eq!(bench.host.entries.get(&start).copied(), stored);
    assert_eq!(bench.host.entries.len(), 3);
}

#[test]
fn the_smallest_and_the_largest_list_hold_one_entry_less_than_their_size() {
    for size in [2, u16::MAX] {
        let mut bench = Bench::with_entries(size);
        let setup = Setup {
            mode: Mode::AlwaysOn,
            threshold: 1,
            ..Setup::default()
        };
        bench.unit().run(&setup);
        let pages: Vec<(u64, usize)> = (0..u64::from(size)).map(|page| (page, 1)).collect();
        bench.touch(&pages);
        assert_eq!(bench.unit().tail(), size - 1);
        assert!(bench.unit().status().overflow());
        let entries = bench.unit().drain();
        assert_eq!(entries.len(), usize::from(size) - 1);
        assert_eq!(entries.last(), Some(&entry(u64::from(size) - 2, 1)));
        let area = bench.block.hotlist_areas()[0].clone();
        assert!(
            bench
                .host
                .entries
                .keys()
                .all(|offset| area.contains(offset))
        );
    }
}
