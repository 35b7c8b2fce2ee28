// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many of an epoch's windows found each page accessed.

use std::collections::BTreeMap;

use chmu_machine::memory::{AccessedRun, PAGE_BYTES};

use crate::report::{HotExtent, Place, Weight, WeightKind};
use crate::source::groups::Shape;

/// Pages of a huge page-table entry.
const HUGE_PAGES: u64 = 512;
/// Bits of an epoch that are kept; a process that touches more is told of as far as that.
const BITS_MAX: usize = 1 << 20;

/// What is known by one bit: a page, or a huge one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unit {
    address: u64,
    pages: u64,
}

/// The windows of an epoch so far.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// How many there were.
    pub(super) count: u64,
    /// How long all of them were.
    pub(super) total_ns: u64,
    hits: BTreeMap<Unit, u64>,
    /// There were more pages than are kept.
    pub(super) overflow: bool,
}

impl Windows {
    /// Adds a window of this length, in which these pages were accessed; no page is in two runs.
    pub(super) fn add(&mut self, runs: &[AccessedRun], length_ns: u64) {
        self.count += 1;
        self.total_ns = self.total_ns.saturating_add(length_ns);
        for unit in runs.iter().flat_map(units) {
            if self.hits.len() >= BITS_MAX && !self.hits.contains_key(&unit) {
                self.overflow = true;
                return;
            }
            *self.hits.entry(unit).or_default() += 1;
        }
    }

    /// How long one of them was.
    pub(super) fn length_ns(&self) -> u64 {
        self.total_ns.checked_div(self.count).unwrap_or(0)
    }

    /// How often pages were accessed.
    pub(super) fn shape(&self) -> Shape {
        Shape::of(self.count, self.hits.values().copied())
    }

    /// How often pages were accessed in these and others.
    pub(super) fn shape_with(&self, others: &Windows) -> Shape {
        let mut hits = self.hits.clone();
        for (&unit, &more) in &others.hits {
            *hits.entry(unit).or_default() += more;
        }
        Shape::of(self.count + others.count, hits.into_values())
    }

    /// How many windows found these accessed, of those that any did.
    pub(super) fn among(&self, units: &BTreeMap<Unit, u64>) -> BTreeMap<Unit, u64> {
        let known = self
            .hits
            .iter()
            .filter(|(unit, _)| units.contains_key(unit));
        known.map(|(&unit, &hits)| (unit, hits)).collect()
    }

    /// What at least `threshold` windows found accessed, and how many did.
    pub(super) fn hot(&self, threshold: u64) -> BTreeMap<Unit, u64> {
        let hot = self.hits.iter().filter(|&(_, &hits)| hits >= threshold);
        hot.map(|(&unit, &hits)| (unit, hits)).collect()
    }
}

/// Extents of a process, of so many windows each; neighbours of the same weight are one.
pub(super) fn extents(
    hot: &BTreeMap<Unit, u64>,
    process_id: u32,
    kind: WeightKind,
) -> Vec<HotExtent> {
    let mut joined: Vec<(Unit, u64)> = Vec::new();
    for (&unit, &hits) in hot {
        match joined.last_mut() {
            Some((last, same))
                if *same == hits
                    && unit.pages == 1
                    && last.pages % HUGE_PAGES != 0
                    && last.address + last.pages * PAGE_BYTES == unit.address =>
            {
                last.pages += 1;
            }
            _ => joined.push((unit, hits)),
        }
    }
    let extent = |(unit, hits): (Unit, u64)| HotExtent {
        place: Place::Addresses {
            process_id,
            start: unit.address,
            pages: unit.pages,
        },
        weight: Weight { kind, value: hits },
        sharing_pages: match unit.pages {
            HUGE_PAGES => HUGE_PAGES,
            _ => 1,
        },
        unit: None,
    };
    joined.into_iter().map(extent).collect()
}

/// What the bits of a run stand for.
fn units(run: &AccessedRun) -> impl Iterator<Item = Unit> {
    let pages = match run.is_huge {
        true => HUGE_PAGES,
        false => 1,
    };
    let mut address = run.addresses.start;
    let end = run.addresses.end;
    std::iter::from_fn(move || {
        let unit = (address < end).then_some(Unit { address, pages });
        address = address.saturating_add(pages * PAGE_BYTES);
        unit
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: WeightKind = WeightKind::Intervals { interval_ns: 7 };

    fn runs_of(pages: &[bool]) -> Vec<AccessedRun> {
        let mut runs: Vec<AccessedRun> = Vec::new();
        for (page, _) in pages.iter().enumerate().filter(|(_, accessed)| **accessed) {
            let start = page as u64 * PAGE_BYTES;
            match runs.last_mut() {
                Some(last) if last.addresses.end == start => last.addresses.end += PAGE_BYTES,
                _ => runs.push(AccessedRun {
                    addresses: start..start + PAGE_BYTES,
                    is_huge: false,
                }),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn a_page_is_hot_when_enough_windows_saw_it_and_weighs_what_they_saw(
            accessed in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 600), 1..6),
            threshold in 1..6_u64,
        ) {
            let mut windows = Windows::default();
            for pages in &accessed {
                windows.add(&runs_of(pages), 1);
            }
            let mut told = BTreeMap::new();
            for extent in extents(&windows.hot(threshold), 4, KIND) {
                let Place::Addresses { process_id: 4, start, pages } = extent.place else { panic!() };
                prop_assert_eq!((extent.sharing_pages, extent.weight.kind), (1, KIND));
                for page in 0..pages {
                    told.insert(start / PAGE_BYTES + page, extent.weight.value);
                }
            }
            let expected: BTreeMap<u64, u64> = (0..600_usize)
                .map(|page| (page as u64, accessed.iter().filter(|pages| pages[page]).count() as u64))
                .filter(|&(_, hits)| hits >= threshold)
                .collect();
            prop_assert_eq!(told, expected);
            prop_assert_eq!(windows.count, accessed.len() as u64);
        }
    }

    #[test]
    fn a_huge_page_has_one_bit_that_its_pages_share() {
        let huge = |start: u64, count: u64| AccessedRun {
            addresses: start..start + count * HUGE_PAGES * PAGE_BYTES,
            is_huge: true,
        };
        let mut windows = Windows::default();
        windows.add(&[huge(0, 2)], 1);
        windows.add(&[huge(0, 1)], 1);
        let hot = extents(&windows.hot(1), 4, KIND);
        let told: Vec<_> = hot
            .iter()
            .map(|extent| {
                (
                    extent.place.pages(),
                    extent.sharing_pages,
                    extent.weight.value,
                )
            })
            .collect();
        assert_eq!(told, [(512, 512, 2), (512, 512, 1)]);
        assert_eq!(extents(&windows.hot(2), 4, KIND).len(), 1);
    }

    #[test]
    fn more_pages_than_are_kept_are_an_overflow() {
        let mut windows = Windows::default();
        let pages = BITS_MAX as u64 + 1;
        let all = [AccessedRun {
            addresses: 0..pages * PAGE_BYTES,
            is_huge: false,
        }];
        windows.add(&all, 1);
        windows.add(&all, 1);
        assert!(windows.overflow);
        let kept: u64 = extents(&windows.hot(2), 4, KIND)
            .iter()
            .map(|extent| extent.place.pages())
            .sum();
        assert_eq!(kept, BITS_MAX as u64);
    }
}
