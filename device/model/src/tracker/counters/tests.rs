// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Counters against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// 7 TiB in units of 256 B.
const MOST_UNITS: u64 = 7 << 32;

fn counters(units: u64, maximum: u32) -> Counters {
    Counters::new(units, UnitSize::MINIMUM, maximum).unwrap()
}

/// Counts accesses to units; those that reach `threshold` are hot.
fn count(counters: &mut Counters, units: &[u64], threshold: u32) {
    let accesses: Vec<_> = units.iter().map(|unit| access(*unit)).collect();
    counters.count(
        &accesses,
        |before| before == threshold - 1,
        |mut counted| counted.note_hot(),
    );
}

fn access(unit: u64) -> Access<Dpa> {
    Access::write(Dpa(unit * UnitSize::MINIMUM.bytes()))
}

fn taken(counters: &mut Counters, clearing: Clearing) -> Vec<(u64, u64)> {
    let mut hottest = Hottest::default();
    counters.take_hot(clearing, &mut hottest);
    hottest.sort();
    let entries = hottest.drain();
    entries.map(|entry| (entry.unit.0, entry.count)).collect()
}

/// What a disable gives back: places of tables and chunks.
fn places(counters: &Counters) -> usize {
    let places: usize = counters.tables.iter().map(Vec::capacity).sum();
    counters.tables.capacity() + places
}

/// Counts in a map: what is hot at the end of an epoch, hottest first.
fn naive(
    counts: &mut BTreeMap<u64, u64>,
    units: &[u64],
    (maximum, threshold): (u32, u32),
    clearing: Clearing,
) -> Vec<(u64, u64)> {
    for unit in units {
        let count = counts.entry(*unit).or_default();
        *count = u64::from(maximum).min(*count + 1);
    }
    let is_hot = |count: &u64| *count >= u64::from(threshold);
    let mut hot: Vec<_> = counts.iter().map(|(unit, count)| (*unit, *count)).collect();
    hot.retain(|(_, count)| is_hot(count));
    hot.sort_by_key(|(unit, count)| (u64::MAX - count, *unit));
    match clearing {
        Clearing::All => counts.clear(),
        Clearing::Hot => counts.retain(|_, count| !is_hot(count)),
        Clearing::None => {}
    }
    hot
}

proptest! {
    #[test]
    fn epochs_equal_a_map(
        epochs in proptest::collection::vec(
            proptest::collection::vec(0_u64..5000, 0..400),
            1..5,
        ),
        spread in prop::sample::select(vec![1_u64, 4096, 6_001_001]),
        maximum in 1_u32..20,
        threshold in 1_u32..6,
        clearing in prop::sample::select(vec![Clearing::All, Clearing::Hot, Clearing::None]),
        first_epoch in prop::sample::select(vec![1, u32::MAX - 1, u32::MAX]),
    ) {
        let threshold = threshold.min(maximum);
        let mut counters = counters(5000 * spread, maximum);
        counters.epoch = first_epoch;
        let mut counts = BTreeMap::new();
        for units in epochs {
            let units: Vec<u64> =
                units.iter().map(|unit| unit * unit % 5000 * spread).collect();
            count(&mut counters, &units, threshold);
            let expected = naive(&mut counts, &units, (maximum, threshold), clearing);
            prop_assert_eq!(taken(&mut counters, clearing), expected);
            prop_assert_eq!(counters.take_missed(), 0);
            if clearing == Clearing::All {
                prop_assert!(!counters.any_touched());
            }
        }
    }
}

#[test]
fn a_unit_beyond_the_device_is_not_counted() {
    let mut counters = counters(10, 100);
    count(&mut counters, &[1 << 22, 5, (1 << 56) - 1, 5], 2);
    assert_eq!((counters.take_missed(), counters.take_missed()), (2, 0));
    assert_eq!(taken(&mut counters, Clearing::All), [(5, 2)]);
}

#[test]
fn a_taken_counter_starts_again() {
    let mut counters = counters(10, 100);
    count(&mut counters, &[3, 3], 100);
    assert_eq!(counters.take(UnitIndex(3)), 2);
    count(&mut counters, &[3], 100);
    assert_eq!(counters.take(UnitIndex(3)), 1);
    assert_eq!(counters.take(UnitIndex(9)), 0);
    assert_eq!(counters.take(UnitIndex(1 << 40)), 0);
}

#[test]
fn an_event_is_the_count_before_an_access() {
    let mut counters = counters(10, 3);
    let mut seen = Vec::new();
    counters.count(
        &[access(7); 6],
        |before| before >= 2,
        |counted| seen.push((counted.unit.0, std::mem::take(counted.count))),
    );
    assert_eq!(seen, [(7, 3), (7, 3)]);
}

#[test]
fn ends_cost_by_what_was_used() {
    let mut counters = counters(MOST_UNITS, 100);
    let at_first = places(&counters);
    assert!(at_first < 1 << 14, "{at_first}");
    let units: Vec<u64> = (0..100)
        .map(|table| table << (CHUNK_SHIFT + TABLE_SHIFT))
        .collect();
    count(&mut counters, &units, 1);
    assert!(places(&counters) <= at_first + 100 * TABLE_CHUNKS);
    assert_eq!(counters.chunks.len(), 101);
    assert_eq!(taken(&mut counters, Clearing::All).len(), 100);
    assert!(!counters.any_touched());
}

#[test]
fn more_counters_than_there_can_be_are_refused() {
    for units in [u64::MAX, 1 << 60] {
        assert!(Counters::new(units, UnitSize::MINIMUM, 100).is_err());
    }
}
