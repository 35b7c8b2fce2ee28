// SPDX-License-Identifier: GPL-2.0-or-later
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const LINES: usize = 64;
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

#[test]
fn a_line_is_filled_once_and_written_back_when_it_leaves() {
    let mut filter = CacheFilter::new(LINES);
    let span = LINES as u64 * LINE_BYTES;
    let quiet = MemoryTraffic::default();
    assert_eq!(drive(&mut filter, 0x1008, 0x8008, false), filled(0x8000));
    assert_eq!(drive(&mut filter, 0x1010, 0x8010, false), quiet);
    assert!(!filter.is_settled(0x1000, true));
    assert_eq!(drive(&mut filter, 0x103f, 0x803f, true), quiet);
    assert!(filter.is_settled(0x1000, true));
    let replaced = drive(&mut filter, 0x1000 + span, 0x8000 + span, false);
    let expected = MemoryTraffic {
        written_back: Some(0x8000),
        filled: Some(0x8000 + span),
    };
    assert_eq!(replaced, expected);
    assert_eq!(drive(&mut filter, 0x1000, 0x8000, false), filled(0x8000));
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
    let access = (0..6_u64, 0..PAGE_BYTES, any::<bool>());
    prop_oneof![
        20 => access.prop_map(|(page, offset, is_store)| Step::Access { page, offset, is_store }),
        1 => (0..6_u64, 0..6_u64).prop_map(|(page, frame)| Step::Remap { page, frame }),
        1 => Just(Step::Forget),
    ]
}

/// The naive cache: for each set its line and whether it is dirty; no virtual addresses at all.
#[derive(Default)]
struct Oracle(HashMap<u64, (u64, bool)>);

impl Oracle {
    fn access(&mut self, physical: u64, is_store: bool) -> MemoryTraffic {
        let line = physical / LINE_BYTES;
        let mut traffic = MemoryTraffic::default();
        let set = self
            .0
            .entry(line % LINES as u64)
            .or_insert((u64::MAX, false));
        if set.0 != line {
            if set.1 {
                traffic.written_back = Some(set.0 * LINE_BYTES);
            }
            traffic.filled = Some(line * LINE_BYTES);
            *set = (line, false);
        }
        set.1 |= is_store;
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
}
