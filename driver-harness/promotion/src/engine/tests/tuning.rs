// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The engine with a source that it adapts.

use super::*;
use crate::engine::tuner::Tuner;
use crate::ledger::{Tuned, TunedSetting};
use crate::report::{Bounds, Fixed, Lost, Settings, Tunable, Tuning};

const EPOCH_NS: u64 = 100 * MS;

/// A bench whose first source has a threshold of 32 accesses in 100 ms.
fn tuned(machine: SimulatedMachine) -> Bench {
    let mut bench = Bench::new(machine, prompt());
    let tunable = Tunable {
        settings: Settings {
            threshold: 32,
            epoch_ns: EPOCH_NS,
            unit_bytes: 4096,
        },
        bounds: Bounds {
            threshold: (4, 1 << 20),
            epoch_ns: (10 * MS, 1_000 * MS),
            ranges: Vec::new(),
            parts: 1,
        },
        fixed: Fixed::default(),
    };
    bench
        .engine
        .tune(SOURCE, Tuner::new(tunable, Fixed::default()));
    bench
}

/// Offers what the source says in an epoch, and promotes what is due.
fn epoch(bench: &mut Bench, number: u64, extents: Vec<HotExtent>, overflow: bool) {
    let now_ns = number * EPOCH_NS;
    let report = Report {
        lost: Lost {
            overflow,
            ..Lost::default()
        },
        ..report(extents, now_ns)
    };
    bench
        .engine
        .offer(SOURCE, &report, Health::Good, &bench.machine, now_ns)
        .unwrap();
    bench.run(now_ns);
}

/// Pages from `first` on with these accesses each.
fn pages(first: u64, count: u64, accesses: u64) -> Vec<HotExtent> {
    let frames = SLOW + first..SLOW + first + count;
    frames.map(|frame| extent(frame, 1, accesses)).collect()
}

#[test]
fn a_list_that_overflows_promotes_nothing_until_the_threshold_is_another() {
    let mut bench = tuned(SimulatedMachine::with_pages(SLOW..SLOW + 100));
    // Hot pages and cold ones, and more of these than the list holds.
    let both = || [pages(0, 10, 1_000), pages(10, 60, 40)].concat();
    for number in 1..=3 {
        epoch(&mut bench, number, both(), true);
    }
    assert_eq!(bench.promoted(), BTreeSet::new());
    let wishes = bench.engine.take_wishes();
    let wish = Tuning {
        threshold: Some(200),
        ..Tuning::default()
    };
    assert_eq!(wishes, [(SOURCE, wish)]);
    // What was read before the source took it is of the old settings.
    epoch(&mut bench, 4, both(), false);
    let ignored = bench.ignored();
    assert_eq!(ignored, BTreeMap::from([(Rejection::Tuning, 70)]));
    // The source has no such threshold, but one close to it.
    let granted = Tuning {
        threshold: Some(256),
        epoch_ns: Some(EPOCH_NS),
        ..Tuning::default()
    };
    bench
        .engine
        .retuned(SOURCE, Some(&granted), 4 * EPOCH_NS + 1);
    let events = bench.events();
    let [
        Event {
            action: Action::Tuned(tuned),
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    let expected = Tuned {
        source: Some("one".into()),
        setting: TunedSetting::Threshold,
        from: Some(32),
        to: 256,
        reason: "the list overflows".into(),
    };
    assert_eq!(*tuned, expected);
    // The first report after that has what was read before.
    epoch(&mut bench, 5, both(), false);
    assert_eq!(bench.promoted(), BTreeSet::new());
    epoch(&mut bench, 6, pages(0, 10, 1_000), false);
    assert_eq!(bench.promoted(), (SLOW..SLOW + 10).collect());
    assert!(bench.engine.take_wishes().is_empty());
}

#[test]
fn a_source_that_takes_nothing_is_believed_again() {
    let mut bench = tuned(SimulatedMachine::with_pages(SLOW..SLOW + 100));
    for number in 1..=3 {
        epoch(&mut bench, number, pages(0, 70, 40), true);
    }
    assert_eq!(bench.engine.take_wishes().len(), 1);
    assert!(!bench.engine.is_settled());
    bench.engine.retuned(SOURCE, None, 3 * EPOCH_NS + 1);
    for number in 4..=6 {
        epoch(&mut bench, number, pages(0, 70, 40), true);
    }
    assert_eq!(bench.promoted().len(), 70);
    // An answer to no question changes nothing.
    bench.engine.retuned(SourceId(9), None, 9 * EPOCH_NS);
}

/// That pages are not reported again is no sign of a wrong time scale when they were promoted.
#[test]
fn promotion_does_not_look_like_a_wrong_time_scale() {
    for is_promoted in [true, false] {
        let machine = SimulatedMachine::with_pages(SLOW..SLOW + 2_000);
        if !is_promoted {
            machine.set_headroom(0, 0);
        }
        let mut bench = tuned(machine);
        for number in 1..40 {
            epoch(&mut bench, number, pages(number * 40, 40, 100), false);
        }
        let wishes = bench.engine.take_wishes();
        let epochs: Vec<_> = wishes.iter().map(|(_, wish)| wish.epoch_ns).collect();
        // Pages that wait for no promotion, each hot for one epoch only, are such a sign.
        assert_eq!(
            epochs,
            match is_promoted {
                true => vec![],
                false => vec![Some(EPOCH_NS / 2)],
            }
        );
    }
}

#[test]
fn nothing_more_to_report_is_no_reason_to_look_for_less() {
    let mut bench = tuned(SimulatedMachine::with_pages(SLOW..SLOW + 100));
    for number in 1..=2 {
        epoch(&mut bench, number, pages(0, 40, 100), false);
    }
    assert_eq!(bench.promoted().len(), 40);
    for number in 3..1_000 {
        epoch(&mut bench, number, Vec::new(), false);
    }
    assert!(bench.engine.take_wishes().is_empty());
    assert!(bench.engine.is_settled());
}

/// A bench whose source found nothing until its threshold was the lowest there is.
fn lowered() -> Bench {
    let mut bench = tuned(SimulatedMachine::with_pages(SLOW..SLOW + 4_000));
    let mut number = 0;
    let mut threshold = 32;
    while threshold > 4 {
        number += 1;
        epoch(&mut bench, number, Vec::new(), false);
        for (source, wish) in bench.engine.take_wishes() {
            threshold = wish.threshold.unwrap();
            bench
                .engine
                .retuned(source, Some(&wish), number * EPOCH_NS + 1);
        }
    }
    bench
}

/// A program that is starved goes through its memory once, page by page, before it is busy with a part.
#[test]
fn pages_that_are_read_through_once_are_not_promoted_however_little_is_hot() {
    let mut bench = lowered();
    for number in 201..=230 {
        let at = number - 201;
        epoch(&mut bench, number, pages(at * 100, 150, 9), false);
    }
    assert_eq!(bench.promoted(), BTreeSet::new());
    for number in 231..=236 {
        let passing = pages(1_000 + (number - 231) * 100, 150, 9);
        let both = [pages(0, 50, 12), passing].concat();
        epoch(&mut bench, number, both, false);
    }
    assert_eq!(bench.promoted(), (SLOW..SLOW + 50).collect());
}
