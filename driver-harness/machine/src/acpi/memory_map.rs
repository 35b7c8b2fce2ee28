// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which memory belongs to which node by the tables: SRAT's ranges, and the CXL windows of CEDT.
//!
//! A window that SRAT describes in part belongs to the ranges that it touches, which are stretched
//! over all of it. Any other window gets a node of its own (Linux drivers/acpi/numa/srat.c,
//! `acpi_parse_cfmws`; `mm/numa_memblks.c`, `numa_fill_memblks`).

use std::ops::Range;

use super::ProximityDomain;
use super::cedt::Window;
use super::tables::FirmwareTables;

/// The memory of a machine, and the order in which Linux numbers its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryMap {
    /// The domain of each node, by the node's number.
    pub domains: Vec<ProximityDomain>,
    /// Host physical addresses and their domain, in the tables' order.
    pub ranges: Vec<(Range<u64>, ProximityDomain)>,
    /// Domains that SRAT does not know: those of windows.
    pub windows: Vec<ProximityDomain>,
}

impl MemoryMap {
    /// The memory that the tables describe.
    pub fn of(tables: &FirmwareTables) -> MemoryMap {
        let memory = tables.srat.iter().flat_map(|srat| srat.memory());
        let range = |base: u64, bytes: u64| base..base.saturating_add(bytes);
        let mut map = MemoryMap {
            domains: tables.numbering(),
            ranges: memory
                .map(|memory| (range(memory.base.0, memory.bytes), memory.domain))
                .filter(|(range, _)| !range.is_empty())
                .collect(),
            windows: Vec::new(),
        };
        // Linux counts on from the last node's number, although these are domains.
        let first = map.domains.len() as u64;
        let windows = tables.cedt.iter().flat_map(|cedt| &cedt.windows);
        let mut next = first;
        for Window { base, bytes, .. } in windows {
            let window = range(base.0, *bytes);
            if window.is_empty() || map.stretch(&window) {
                continue;
            }
            let Ok(domain) = u32::try_from(next).map(ProximityDomain) else {
                break;
            };
            map.add(window, domain);
            next += 1;
        }
        map
    }

    fn add(&mut self, window: Range<u64>, domain: ProximityDomain) {
        if !self.domains.contains(&domain) {
            self.domains.push(domain);
            self.windows.push(domain);
        }
        self.ranges.push((window, domain));
    }

    /// Stretches the ranges that a window touches until they cover it; false when it touches none.
    fn stretch(&mut self, window: &Range<u64>) -> bool {
        let ranges = self.ranges.iter_mut().map(|(range, _)| range);
        let mut touched: Vec<_> = ranges
            .filter(|range| range.start < window.end && window.start < range.end)
            .collect();
        touched.sort_by_key(|range| range.start);
        let Some(first) = touched.first_mut() else {
            return false;
        };
        first.start = first.start.min(window.start);
        let mut end = first.end;
        for range in touched.iter_mut().skip(1) {
            range.start = range.start.min(end);
            end = end.max(range.end);
        }
        if let Some(last) = touched.last_mut() {
            last.end = last.end.max(window.end);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::acpi::cedt::Cedt;
    use crate::acpi::srat::Srat;
    use crate::acpi::tests::writer;

    const GIB: u64 = 1 << 30;

    /// Ranges as (GiB from, GiB until, domain) behind one processor of domain 0; windows likewise.
    fn map(memory: &[(u64, u64, u32)], windows: &[(u64, u64)]) -> MemoryMap {
        let mut entries = vec![writer::processor(0, 0)];
        let entry = |&(from, until, domain): &(u64, u64, u32)| {
            writer::memory(domain, from * GIB, (until - from) * GIB, 1)
        };
        entries.extend(memory.iter().map(entry));
        let window = |&(from, until): &(u64, u64)| {
            writer::window(from * GIB, (until - from) * GIB, (0, 0, 0), &[7])
        };
        let windows: Vec<_> = windows.iter().map(window).collect();
        MemoryMap::of(&FirmwareTables {
            srat: Some(Srat::parse(&writer::srat(3, &entries)).unwrap()),
            cedt: Some(Cedt::parse(&writer::cedt(&windows)).unwrap()),
            ..FirmwareTables::default()
        })
    }

    fn in_gib(map: &MemoryMap) -> Vec<(u64, u64, u32)> {
        let ranges = map.ranges.iter();
        ranges
            .map(|(range, domain)| (range.start / GIB, range.end / GIB, domain.0))
            .collect()
    }

    #[test]
    fn a_window_that_srat_does_not_know_is_a_node() {
        let map = map(&[(0, 4, 0), (4, 8, 1)], &[(16, 20), (32, 36)]);
        assert_eq!(
            in_gib(&map),
            [(0, 4, 0), (4, 8, 1), (16, 20, 2), (32, 36, 3)]
        );
        assert_eq!(map.windows, [ProximityDomain(2), ProximityDomain(3)]);
        assert_eq!(map.domains.len(), 4);
    }

    #[test]
    fn a_window_that_srat_knows_in_part_stretches_what_is_there() {
        let map = map(&[(0, 4, 0), (17, 18, 1), (19, 20, 1)], &[(16, 24), (4, 5)]);
        assert_eq!(
            in_gib(&map),
            [(0, 4, 0), (16, 18, 1), (18, 24, 1), (4, 5, 2)]
        );
    }

    #[test]
    fn a_number_that_is_a_domain_already_is_that_domain() {
        // Domains 0 and 2 are nodes 0 and 1; Linux then takes 2 for a free domain.
        let map = map(&[(0, 4, 0), (4, 8, 2)], &[(16, 20), (32, 36)]);
        assert_eq!(
            in_gib(&map),
            [(0, 4, 0), (4, 8, 2), (16, 20, 2), (32, 36, 3)]
        );
        assert_eq!(map.windows, [ProximityDomain(3)]);
    }

    proptest! {
        /// Every byte of every window has a node, and no byte that SRAT describes changes its own.
        #[test]
        fn windows_are_covered_and_ranges_kept(
            sizes in prop::collection::vec((0..3_u64, 1..5_u64, 0..3_u32), 1..5),
            windows in prop::collection::vec((0..40_u64, 1..12_u64), 0..4),
        ) {
            let mut at = 0;
            let mut memory = Vec::new();
            for (gap, size, domain) in sizes {
                memory.push((at + gap, at + gap + size, domain));
                at += gap + size;
            }
            let windows: Vec<_> = windows.iter().map(|(from, size)| (*from, from + size)).collect();
            let map = map(&memory, &windows);
            let has = |address: u64, domain: Option<u32>| {
                map.ranges.iter().any(|(range, place)| {
                    range.contains(&address) && domain.is_none_or(|domain| domain == place.0)
                })
            };
            for &(from, until, domain) in &memory {
                for gib in from..until {
                    prop_assert!(has(gib * GIB, Some(domain)));
                }
            }
            for &(from, until) in &windows {
                for gib in from..until {
                    prop_assert!(has(gib * GIB, None));
                }
            }
            prop_assert!(map.ranges.iter().all(|(_, domain)| map.domains.contains(domain)));
        }
    }
}
