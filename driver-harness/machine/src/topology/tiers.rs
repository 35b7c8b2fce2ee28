// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory tiers: those of the kernel where it has some, otherwise as it would compute them
//! (Linux mm/memory-tiers.c), otherwise by distance.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Node;
use super::performance::PerformanceMap;
use crate::acpi::tables::Performance;
use crate::node::NodeId;
use crate::sysfs_file::{self, SysfsError};

/// Abstract distance of ordinary memory (`MEMTIER_ADISTANCE_DRAM`).
const DRAM_DISTANCE: u64 = 576;
/// Abstract distance of memory that a driver brings later and nobody has figures of
/// (drivers/dax/kmem.c, `MEMTIER_DEFAULT_LOWTIER_ADISTANCE`).
const LATER_DISTANCE: u64 = 5 * DRAM_DISTANCE;
/// Abstract distances that differ only below this bit are one tier (`MEMTIER_CHUNK_BITS`).
const TIER_BITS: u32 = 7;
/// Performance of ordinary memory differs by no more than one part in this many, or nothing is
/// computed from it.
const LIKENESS: u64 = 10;

/// The nodes whose memory performs alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The kernel's number: smaller is faster, 4 is ordinary memory. Tiers by distance count on from
    /// there.
    pub rank: u32,
    /// Its nodes.
    pub nodes: Vec<NodeId>,
}

/// From where it is known which node is in which tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TierKnowledge {
    /// The kernel says it.
    #[default]
    Kernel,
    /// Computed from HMAT's latencies and bandwidths as the kernel does.
    Performance,
    /// Nodes with processors are fast, the others slower the farther they are: HMAT says nothing.
    Distance,
}

impl TierKnowledge {
    /// Where tiers come from, in words.
    pub const fn sentence(self) -> &'static str {
        match self {
            TierKnowledge::Kernel => "The tiers are the kernel's.",
            TierKnowledge::Performance => {
                "The tiers are computed from HMAT's latencies and bandwidths, as the kernel does."
            }
            TierKnowledge::Distance => {
                "The tiers are a guess by distance, nodes with processors first: HMAT has no \
                 figures for these, or ones that differ by more than a tenth."
            }
        }
    }
}

/// The kernel's tiers, fastest first; none where the kernel has no such thing.
pub(super) fn read(sysfs: &Path) -> Result<Option<Vec<Tier>>, SysfsError> {
    let folder = sysfs.join("devices/virtual/memory_tiering");
    if !folder.exists() {
        return Ok(None);
    }
    let tiers = sysfs_file::numbered(&folder, "memory_tier").into_iter();
    let tiers = tiers.map(|(rank, path)| {
        let nodes = sysfs_file::list(&path.join("nodelist"))?;
        let nodes = nodes.into_iter().map(NodeId).collect();
        Ok(Tier { rank, nodes })
    });
    tiers.collect::<Result<_, _>>().map(Some)
}

/// Tiers where the kernel tells none.
pub(super) fn compute(
    nodes: &BTreeMap<NodeId, Node>,
    performance: &PerformanceMap,
) -> (Vec<Tier>, TierKnowledge) {
    match by_performance(nodes, performance) {
        Some(tiers) => (tiers, TierKnowledge::Performance),
        None => (by_distance(nodes), TierKnowledge::Distance),
    }
}

/// Latency and bandwidth of reads and writes together; none where either is not known at all.
fn sums(performance: Performance) -> Option<(u64, u64)> {
    let sum = |first: Option<u32>, second: Option<u32>| {
        let sum = u64::from(first.unwrap_or(0)) + u64::from(second.unwrap_or(0));
        (sum > 0).then_some(sum)
    };
    let latency = sum(performance.read_latency_ns, performance.write_latency_ns)?;
    let bandwidth = sum(
        performance.read_bandwidth_mb_per_s,
        performance.write_bandwidth_mb_per_s,
    )?;
    Some((latency, bandwidth))
}

/// As the kernel: relative to the memory of the first node with processors; none where that is not
/// known, or other such nodes differ from it.
fn by_performance(
    nodes: &BTreeMap<NodeId, Node>,
    performance: &PerformanceMap,
) -> Option<Vec<Tier>> {
    let of = |id: NodeId| performance.of_memory(id, nodes.get(&id)?);
    let ordinary: Vec<_> = nodes
        .iter()
        .filter(|(_, node)| node.has_cpu && node.has_memory)
        .filter_map(|(&id, _)| of(id))
        .filter(|performance| sums(*performance).is_some())
        .collect();
    let reference = *ordinary.first()?;
    if !ordinary.iter().all(|other| is_like(*other, reference)) {
        return None;
    }
    let (latency, bandwidth) = sums(reference)?;
    let mut ranks: BTreeMap<u32, Vec<NodeId>> = BTreeMap::new();
    for (&id, node) in nodes.iter().filter(|(_, node)| node.has_memory) {
        let unknown = if node.is_window {
            LATER_DISTANCE
        } else {
            DRAM_DISTANCE
        };
        let distance = of(id).and_then(sums).map_or(unknown, |own| {
            let by_latency = DRAM_DISTANCE * own.0 / latency;
            by_latency.saturating_mul(bandwidth) / own.1
        });
        let rank = u32::try_from(distance >> TIER_BITS).unwrap_or(u32::MAX);
        ranks.entry(rank).or_default().push(id);
    }
    Some(tiers(ranks))
}

fn is_like(one: Performance, reference: Performance) -> bool {
    let pairs = [
        (one.read_latency_ns, reference.read_latency_ns),
        (one.write_latency_ns, reference.write_latency_ns),
        (
            one.read_bandwidth_mb_per_s,
            reference.read_bandwidth_mb_per_s,
        ),
        (
            one.write_bandwidth_mb_per_s,
            reference.write_bandwidth_mb_per_s,
        ),
    ];
    pairs.into_iter().all(|(one, reference)| {
        let (one, reference) = (one.unwrap_or(0), reference.unwrap_or(0));
        u64::from(one.abs_diff(reference)) * LIKENESS <= reference.into()
    })
}

/// Nodes with processors, then the others by their distance from the nearest of these. Where no node
/// has processors, all are alike.
fn by_distance(nodes: &BTreeMap<NodeId, Node>) -> Vec<Tier> {
    let with_cpu = || nodes.iter().filter(|(_, node)| node.has_cpu);
    let nearest = |node: &Node| {
        let distances = with_cpu().filter_map(|(id, _)| node.distances.get(id));
        distances.min().copied().unwrap_or(u32::MAX)
    };
    let place = |node: &Node| match node.has_cpu || with_cpu().next().is_none() {
        true => 0,
        false => nearest(node),
    };
    let with_memory = || nodes.iter().filter(|(_, node)| node.has_memory);
    let steps: BTreeSet<_> = with_memory().map(|(_, node)| place(node)).collect();
    let ordinary = u32::try_from(DRAM_DISTANCE >> TIER_BITS).unwrap_or(0);
    let ranks = (ordinary..).zip(steps).map(|(rank, step)| {
        let nodes = with_memory().filter(|(_, node)| place(node) == step);
        (rank, nodes.map(|(&id, _)| id).collect())
    });
    tiers(ranks.collect())
}

fn tiers(ranks: BTreeMap<u32, Vec<NodeId>>) -> Vec<Tier> {
    let ranks = ranks.into_iter();
    ranks.map(|(rank, nodes)| Tier { rank, nodes }).collect()
}
