// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const HALF: u64 = 1000;

/// A folio that holds a frame: frames below 64 are base pages, then come folios of 8.
fn folio_of(frame: u64) -> Folio {
    match frame < 64 {
        true => Folio {
            head: Pfn(frame),
            pages: 1,
        },
        false => Folio {
            head: Pfn(frame - frame % 8),
            pages: 8,
        },
    }
}

proptest! {
    /// Against all accesses that there ever were, each decayed by itself.
    #[test]
    fn heat_is_that_of_all_accesses_of_the_best_source(
        reports in proptest::collection::vec((0..128_u64, 0..3_u32, 1..50_u64, 0..800_u64), 1..80),
    ) {
        let half_life = HalfLife::of_ns(HALF);
        let mut aggregator = Aggregator::new(half_life);
        let mut accesses: HashMap<(Folio, u32), Vec<(u64, u64)>> = HashMap::new();
        let mut now_ns = 0;
        for (frame, source, count, pause_ns) in reports {
            now_ns += pause_ns;
            let folio = folio_of(frame);
            accesses.entry((folio, source)).or_default().push((count, now_ns));
            let thousandths = count * ACCESS * folio.pages;
            let heated = aggregator
                .add(folio, SourceId(source), (thousandths, &[Pfn(frame)]), now_ns)
                .unwrap();
            let of_source = |source: u32| {
                let all = accesses.get(&(folio, source)).into_iter().flatten();
                all.map(|&(count, at_ns)| {
                    count as f64 * 1000.0 * 0.5_f64.powf((now_ns - at_ns) as f64 / HALF as f64)
                })
                .sum::<f64>()
            };
            let expected = (0..3).map(of_source).fold(0.0, f64::max);
            let value = half_life.value(heated.heat, now_ns) as f64;
            // Half a thousandth is lost or won with each of the reports at most.
            prop_assert!((value - expected).abs() <= 40.0, "{} for {}", value, expected);
            let origin: Vec<_> = heated.origin.sources().map(|source| source.0).collect();
            let known: Vec<_> = (0..3).filter(|source| accesses.contains_key(&(folio, *source))).collect();
            prop_assert_eq!(origin, known);
        }
    }

    #[test]
    fn the_coldest_are_forgotten_when_there_are_too_many(
        heats in proptest::collection::vec(1..1000_u64, 1..60), folios_max in 1..SPARE_PART,
    ) {
        let mut aggregator = Aggregator { folios_max, ..Aggregator::new(HalfLife::of_ns(HALF)) };
        for (head, heat) in (0..).zip(&heats) {
            aggregator.add(Folio { head: Pfn(head), pages: 1 }, SourceId(0), (*heat, &[]), 0);
        }
        prop_assert_eq!(aggregator.len(), folios_max.min(heats.len()));
        let mut hottest: Vec<_> = (0..).zip(heats).map(|(head, heat)| (heat, head)).collect();
        hottest.sort_unstable_by(|one, other| other.cmp(one));
        for (place, (_, head)) in hottest.iter().enumerate() {
            prop_assert_eq!(aggregator.folios.contains_key(&Pfn(*head)), place < folios_max);
        }
    }
}

#[test]
fn where_many_are_remembered_some_more_are_forgotten_than_there_must() {
    let mut aggregator = Aggregator {
        folios_max: 2 * SPARE_PART,
        ..Aggregator::new(HalfLife::of_ns(HALF))
    };
    let mut add = |head: u64| {
        let folio = Folio {
            head: Pfn(head),
            pages: 1,
        };
        aggregator.add(folio, SourceId(0), (1000 - head, &[]), 0);
        aggregator.len()
    };
    assert_eq!((0..32).map(&mut add).last(), Some(32));
    assert_eq!([add(32), add(33), add(34), add(35)], [30, 31, 32, 30]);
}

#[test]
fn a_folio_that_was_split_or_made_is_another_one() {
    let mut aggregator = Aggregator::new(HalfLife::of_ns(HALF));
    let folio = |head, pages| Folio {
        head: Pfn(head),
        pages,
    };
    let mut add = |one: Folio| {
        let heated = aggregator
            .add(one, SourceId(0), (one.pages * 5000, &[one.head]), 0)
            .unwrap();
        (
            heated.is_new,
            HalfLife::of_ns(HALF).value(heated.heat, 0),
            aggregator.len(),
        )
    };
    assert_eq!(add(folio(8, 8)), (true, 5000, 1));
    assert_eq!(add(folio(8, 8)), (false, 10_000, 1));
    assert_eq!(add(folio(12, 1)), (true, 5000, 1));
    assert_eq!(add(folio(20, 1)), (true, 5000, 2));
    assert_eq!(add(folio(8, 16)), (true, 5000, 1));
    aggregator.forget(Pfn(8));
    assert_eq!(aggregator.len(), 0);
}

#[test]
fn every_page_of_a_large_folio_is_counted_once() {
    let mut aggregator = Aggregator::new(HalfLife::of_ns(HALF));
    let huge = Folio {
        head: Pfn(512),
        pages: 512,
    };
    let mut hot_pages = |frames: &[u64]| {
        let frames: Vec<_> = frames.iter().map(|frame| Pfn(*frame)).collect();
        aggregator
            .add(huge, SourceId(0), (1000, &frames), 0)
            .unwrap()
            .hot_pages
    };
    assert_eq!(hot_pages(&[512, 600]), 2);
    assert_eq!(hot_pages(&[600, 1023]), 3);
}
