// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A topology from nothing but the firmware's tables: of a machine that is not this one, or of one
//! whose kernel is not asked.

use std::collections::BTreeMap;

use super::performance::PerformanceMap;
use super::{Node, NodeSpan, Topology, tiers};
use crate::acpi::ProximityDomain;
use crate::acpi::memory_map::MemoryMap;
use crate::acpi::slit::Slit;
use crate::acpi::tables::FirmwareTables;
use crate::memory::PAGE_BYTES;
use crate::node::NodeId;

/// What Linux takes for distances where the firmware tells none.
const LOCAL_DISTANCE: u32 = 10;
const REMOTE_DISTANCE: u32 = 20;

impl Topology {
    /// The nodes of a machine as its kernel would see them, all memory online, that of CXL windows as
    /// well; how much is free is not known.
    pub fn from_tables(tables: &FirmwareTables) -> Topology {
        let map = MemoryMap::of(tables);
        let numbered = || (0..).map(NodeId).zip(map.domains.iter().copied());
        let number = |domain: ProximityDomain| {
            let mut found = numbered();
            found.find_map(|(id, place)| (place == domain).then_some(id))
        };
        let mut nodes = BTreeMap::new();
        let mut performance = PerformanceMap::default();
        for (id, domain) in numbered() {
            // SLIT is read before windows get their nodes.
            let in_slit = |place: ProximityDomain| !map.windows.contains(&place);
            let slit = tables.slit.as_ref();
            let distance = |(to, place): (NodeId, ProximityDomain)| {
                let slit = slit.filter(|_| in_slit(domain) && in_slit(place));
                (to, distance(slit, (id, domain), (to, place)))
            };
            let srat = tables.srat.as_ref();
            let node = Node {
                has_cpu: srat.is_some_and(|srat| srat.has_processors(domain)),
                has_memory: map.ranges.iter().any(|(_, place)| *place == domain),
                distances: numbered().map(distance).collect(),
                initiators: nodes_of(tables.nearest_initiators(domain), number),
                cpu_initiators: nodes_of(tables.nearest_processors(domain), number),
                side_cache_bytes: side_cache_bytes(tables, domain),
                free_bytes: 0,
                is_window: map.windows.contains(&domain),
            };
            nodes.insert(id, node);
            for (from, place) in numbered() {
                performance.insert(from, id, tables.performance(place, domain));
            }
        }
        let (tiers, tier_knowledge) = tiers::compute(&nodes, &performance);
        Topology {
            nodes,
            offline: Vec::new(),
            tiers,
            tier_knowledge,
            performance,
            spans: spans(&map, number),
        }
    }
}

fn nodes_of(
    domains: Vec<ProximityDomain>,
    number: impl Fn(ProximityDomain) -> Option<NodeId>,
) -> Vec<NodeId> {
    let mut nodes: Vec<_> = domains.into_iter().filter_map(number).collect();
    nodes.sort_unstable();
    nodes
}

fn distance(
    slit: Option<&Slit>,
    (from, from_domain): (NodeId, ProximityDomain),
    (to, to_domain): (NodeId, ProximityDomain),
) -> u32 {
    let told = slit.and_then(|slit| slit.distance(from_domain, to_domain));
    match told {
        Some(distance) => distance.into(),
        None if from == to => LOCAL_DISTANCE,
        None => REMOTE_DISTANCE,
    }
}

fn side_cache_bytes(tables: &FirmwareTables, domain: ProximityDomain) -> u64 {
    let caches = tables.hmat.iter().flat_map(|hmat| &hmat.caches);
    caches
        .filter(|cache| cache.memory == domain)
        .fold(0, |sum, cache| sum.saturating_add(cache.bytes))
}

/// The firmware's ranges, sorted; of those that overlap the first counts.
fn spans(map: &MemoryMap, number: impl Fn(ProximityDomain) -> Option<NodeId>) -> Vec<NodeSpan> {
    let mut spans: Vec<_> = map
        .ranges
        .iter()
        .filter_map(|(range, domain)| {
            let (start, end) = (range.start / PAGE_BYTES, range.end / PAGE_BYTES);
            let node = number(*domain)?;
            (start < end).then_some(NodeSpan { start, end, node })
        })
        .collect();
    spans.sort_by_key(|span| span.start);
    let mut last_end = 0;
    spans.retain(|span| {
        let is_apart = span.start >= last_end;
        if is_apart {
            last_end = span.end;
        }
        is_apart
    });
    spans
}
