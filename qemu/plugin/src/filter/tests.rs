// SPDX-License-Identifier: GPL-2.0-or-later
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const LINES: usize = 64;
const SETS: u64 = (LINES / WAYS) as u64;
/// Lines so many bytes apart are rivals.
const SPAN: u64 = SETS * LINE_BYTES;
const PAGE_BYTES: u64 = 4096;

/// What a vCPU does: look whether the access is settled, else ask for the physical address.
fn drive(filter: &mut CacheFilter, address: u64, physical: u64, is_store: bool) -> MemoryTraffic {
    if filter.is_settled(address, is_store) {
        MemoryTraffic::default()
    } else {
        filter.access(address, physical, is_store)
    }
}

fn filled(address: u64) -> MemoryTraffic {
    MemoryTraffic {
        filled: Some(address),
        ..MemoryTraffic::default()
    }
}

/// `address` is where the line is for the processor, and its translation no rival of others.
fn load(filter: &mut CacheFilter, address: u64) -> MemoryTraffic {
    drive(filter, 0x7f00_0000_0000 + address, address, false)
}

#[test]
fn a_line_is_filled_once_and_written_back_when_it_leaves() {
    let mut filter = CacheFilter::new(LINES);
    let quiet = MemoryTraffic::default();
    assert_eq!(drive(&mut filter, 0x1008, 0x8008, false), filled(0x8000));
    assert_eq!(drive(&mut filter, 0x1010, 0x8010, false), quiet);
    assert!(!filter.is_settled(0x1000, true));
    assert_eq!(drive(&mut filter, 0x103f, 0x803f, true), quiet);
    assert!(filter.is_settled(0x1000, true));
    for rival in 1..WAYS as u64 {
        let address = 0x8000 + rival * SPAN;
        assert_eq!(load(&mut filter, address), filled(address), "{rival}");
    }
    let expected = MemoryTraffic {
        written_back: Some(0x8000),
        filled: Some(0x10000),
    };
    assert_eq!(load(&mut filter, 0x10000), expected);
    let expected = filled(0x8000);
    assert_eq!(drive(&mut filter, 0x1000, 0x8000, false), expected);
}

/// A kernel copies pages in whatever pieces its processor likes.
#[test]
fn a_copy_between_rivals_fills_each_line_once() {
    for bytes in [1, 8] {
        let mut filter = CacheFilter::new(LINES);
        let (from, to) = (0x10_0000, 0x20_0000);
        let mut traffic = Vec::new();
        for offset in (0..PAGE_BYTES).step_by(bytes) {
            for (address, is_store) in [(from + offset, false), (to + offset, true)] {
                traffic.push(drive(&mut filter, address, address, is_store));
            }
        }
        // What is in the cache yet leaves.
        for line in 0..2 * LINES as u64 {
            traffic.push(load(&mut filter, 0x30_0000 + line * LINE_BYTES));
        }
        for line in (0..PAGE_BYTES).step_by(64) {
            let count = |matches: &dyn Fn(&MemoryTraffic) -> bool| {
                traffic.iter().filter(|it| matches(it)).count()
            };
            for page in [from, to] {
                assert_eq!(count(&|it| it.filled == Some(page + line)), 1, "{line:#x}");
            }
            assert_eq!(count(&|it| it.written_back == Some(from + line)), 0);
            assert_eq!(count(&|it| it.written_back == Some(to + line)), 1);
        }
    }
}

#[test]
fn rivals_that_fit_into_their_set_are_answered_without_their_physical_address() {
    let mut filter = CacheFilter::new(LINES);
    let lines: Vec<_> = (1..WAYS as u64).map(|line| line * SPAN).collect();
    for &line in &lines {
        drive(&mut filter, line, line, true);
    }
    for _ in 0..3 {
        for &line in &lines {
            assert!(filter.is_settled(line, true), "{line:#x}");
        }
    }
}

#[test]
fn nothing_is_settled_in_an_empty_cache() {
    let mut filter = CacheFilter::new(LINES);
    for address in [0, 0x1000, u64::MAX] {
        assert!(!filter.is_settled(address, false));
    }
    drive(&mut filter, 0, 0, true);
    filter.clear();
    assert!(!filter.is_settled(0, false));
    assert_eq!(drive(&mut filter, 0, 0, false), filled(0));
}

#[test]
fn kernel_and_user_addresses_are_told_apart() {
    let mut filter = CacheFilter::new(LINES);
    drive(&mut filter, 0x0000_7fff_0000_0000, 0x8000, false);
    assert!(filter.is_settled(0x0000_7fff_0000_0000, false));
    assert!(!filter.is_settled(0xffff_ffff_0000_0000, false));
    assert!(!filter.is_settled(0x00ff_7fff_0000_0000, false));
}

#[test]
fn generations_come_round_without_old_translations() {
    let mut filter = CacheFilter::new(LINES);
    drive(&mut filter, 0x1000, 0x8000, true);
    for _ in 0..2 * (LAST_GENERATION / FIRST_GENERATION) {
        filter.forget_translations();
        assert!(!filter.is_settled(0x1000, false));
    }
    let again = drive(&mut filter, 0x1000, 0x8000, false);
    assert_eq!(again, MemoryTraffic::default(), "the line was never lost");
}

#[derive(Debug, Clone)]
enum Step {
    Access {
        page: u64,
        offset: u64,
        is_store: bool,
    },
    Remap {
        page: u64,
        frame: u64,
    },
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    // Some places are hit more often than others.
    let offset = prop_oneof![0..PAGE_BYTES, 0..4 * LINE_BYTES, Just(SPAN)];
    let access = (0..6_u64, offset, any::<bool>());
    prop_oneof![
        20 => access.prop_map(|(page, offset, is_store)| Step::Access { page, offset, is_store }),
        1 => (0..6_u64, 0..6_u64).prop_map(|(page, frame)| Step::Remap { page, frame }),
        1 => Just(Step::Forget),
    ]
}

#[derive(Debug, Clone, Copy)]
struct OracleLine {
    number: u64,
    is_dirty: bool,
    is_recent: bool,
}

/// The naive cache: the ways of each set as far as they are used; no virtual addresses at all.
#[derive(Default)]
struct Oracle(HashMap<u64, Vec<OracleLine>>);

impl Oracle {
    fn access(&mut self, physical: u64, is_store: bool) -> MemoryTraffic {
        let number = physical / LINE_BYTES;
        let mut traffic = MemoryTraffic::default();
        let set = self.0.entry(number % SETS).or_default();
        let new = OracleLine {
            number,
            is_dirty: false,
            is_recent: false,
        };
        let way = if let Some(way) = set.iter().position(|line| line.number == number) {
            way
        } else {
            traffic.filled = Some(number * LINE_BYTES);
            if set.len() < WAYS {
                set.push(new);
                set.len() - 1
            } else {
                let way = set.iter().position(|line| !line.is_recent).unwrap();
                let old = std::mem::replace(&mut set[way], new);
                traffic.written_back = old.is_dirty.then_some(old.number * LINE_BYTES);
                way
            }
        };
        set[way].is_dirty |= is_store;
        set[way].is_recent = true;
        if set.len() == WAYS && set.iter().all(|line| line.is_recent) {
            for (other, line) in set.iter_mut().enumerate() {
                line.is_recent = other == way;
            }
        }
        traffic
    }
}

proptest! {
    /// Whatever virtual pages share a frame, and however often they are moved, the filter causes
    /// exactly the traffic of a cache that knows physical addresses only.
    #[test]
    fn traffic_is_that_of_a_physical_cache(steps in prop::collection::vec(step(), 0..2000)) {
        let mut filter = CacheFilter::new(LINES);
        let mut oracle = Oracle::default();
        let mut frames = [0_u64, 1, 2, 3, 4, 5];
        for step in steps {
            match step {
                Step::Access { page, offset, is_store } => {
                    let frame = frames[usize::try_from(page).unwrap()];
                    let physical = 0x1_0000_0000 + frame * PAGE_BYTES + offset;
                    let address = 0x7f00_0000_0000 + page * PAGE_BYTES + offset;
                    prop_assert_eq!(
                        drive(&mut filter, address, physical, is_store),
                        oracle.access(physical, is_store)
                    );
                }
                Step::Remap { page, frame } => {
                    frames[usize::try_from(page).unwrap()] = frame;
                    filter.forget_translations();
                }
                Step::Forget => filter.forget_translations(),
            }
        }
    }

    /// Misses drive out what is not accessed, whatever was before and whatever else is hit meanwhile.
    #[test]
    fn a_line_stays_through_the_next_miss_and_leaves_with_the_sixth(
        before in prop::collection::vec(0..8_u64, 0..50),
        hits in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 6),
    ) {
        let mut filter = CacheFilter::new(LINES);
        let load = |filter: &mut CacheFilter, line: u64| load(filter, line * SPAN).filled.is_some();
        for line in before {
            load(&mut filter, line);
        }
        let watched = 100;
        load(&mut filter, watched);
        load(&mut filter, 101);
        prop_assert!(!load(&mut filter, watched), "the next miss drove it out");
        let mut others = vec![101];
        for hits in hits {
            for hit in hits {
                // A line that has left makes a miss more.
                load(&mut filter, *hit.get(&others));
            }
            let next = 102 + others.len() as u64;
            others.push(next);
            prop_assert!(load(&mut filter, next));
        }
        prop_assert!(load(&mut filter, watched), "six misses left it");
    }
}
