// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory nodes, memory tiers and which frames belong to which node, as the kernel shows them in
//! sysfs (drivers/base/node.c, mm/memory-tiers.c, drivers/base/memory.c).

use std::collections::BTreeMap;
use std::path::Path;

use chmu_spec::address::Pfn;

use crate::memory::PAGE_BYTES;
use crate::node::NodeId;
use crate::refusal::without_nodes;
use crate::sysfs_file::{self, SysfsError};

mod described;
pub mod from_tables;
mod outline;
mod performance;
mod tiers;

pub use described::{DescribedNode, DescriptionError};
pub use outline::Outline;
pub use performance::PerformanceMap;
pub use tiers::{Tier, TierKnowledge};

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// It has processors.
    pub has_cpu: bool,
    /// It has memory.
    pub has_memory: bool,
    /// Distance to each online node in the firmware's units, 10 to itself.
    pub distances: BTreeMap<NodeId, u32>,
    /// The nodes of any initiators closest to this node's memory by HMAT: `access0/initiators`.
    pub initiators: Vec<NodeId>,
    /// The processor nodes closest to this node's memory by HMAT: `access1/initiators`.
    pub cpu_initiators: Vec<NodeId>,
    /// Bytes of the caches in front of this node's memory, 0 for none.
    pub side_cache_bytes: u64,
    /// Free memory when the topology was read.
    pub free_bytes: u64,
    /// The tables know its memory only as a CXL window, which has memory once a region is made there.
    pub is_window: bool,
}

/// Nodes with memory, in words.
pub fn name_nodes(nodes: &[NodeId]) -> String {
    let names: Vec<_> = nodes.iter().map(NodeId::to_string).collect();
    match &*names {
        [] => "no node has memory".into(),
        [one] => format!("only node {one} has memory"),
        names => format!("the nodes with memory are {}", names.join(", ")),
    }
}

/// Why a node that somebody named cannot take pages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeRefusal {
    /// The machine can have no such node.
    #[error("There is no node {node} with memory; {}", name_nodes(with_memory))]
    Absent {
        /// Which.
        node: NodeId,
        /// The nodes that can take pages.
        with_memory: Vec<NodeId>,
    },
    /// It could be there.
    #[error("Node {node} is offline; {}", name_nodes(with_memory))]
    Offline {
        /// Which.
        node: NodeId,
        /// The nodes that can take pages.
        with_memory: Vec<NodeId>,
    },
    /// Only processors or devices are there, or its memory is offline.
    #[error("Node {node} has no memory online; {}", name_nodes(with_memory))]
    NoMemory {
        /// Which.
        node: NodeId,
        /// The nodes that can take pages.
        with_memory: Vec<NodeId>,
    },
}

/// A run of frames that belongs to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NodeSpan {
    start: u64,
    end: u64,
    node: NodeId,
}

/// The machine's memory at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// Every online node.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Nodes that may come, but are not there now.
    pub offline: Vec<NodeId>,
    /// The tiers, fastest first.
    pub tiers: Vec<Tier>,
    /// Who says so.
    pub tier_knowledge: TierKnowledge,
    /// What processors find, as far as it is known.
    pub performance: PerformanceMap,
    /// Sorted, not overlapping.
    spans: Vec<NodeSpan>,
}

impl Topology {
    /// Reads the topology below `sysfs`, which is `/sys` but for tests.
    pub fn read(sysfs: &Path) -> Result<Topology, SysfsError> {
        let folder = sysfs.join("devices/system/node");
        if !folder.exists() {
            return Err(SysfsError::Absent {
                refusal: without_nodes(sysfs),
                path: folder,
            });
        }
        let online = sysfs_file::list(&folder.join("online"))?;
        let with_cpu = sysfs_file::list(&folder.join("has_cpu"))?;
        let with_memory = sysfs_file::list(&folder.join("has_memory"))?;
        let mut nodes = BTreeMap::new();
        for &number in &online {
            let path = folder.join(format!("node{number}"));
            let node = Node {
                has_cpu: with_cpu.contains(&number),
                has_memory: with_memory.contains(&number),
                distances: read_distances(&path, &online)?,
                initiators: performance::initiators(&path, 0),
                cpu_initiators: performance::initiators(&path, 1),
                side_cache_bytes: performance::read_side_caches(&path)?,
                free_bytes: read_free_bytes(&path)?,
                is_window: false,
            };
            nodes.insert(NodeId(number), node);
        }
        let performance = PerformanceMap::read(&folder, &nodes)?;
        let (tiers, tier_knowledge) = match tiers::read(sysfs)? {
            Some(tiers) => (tiers, TierKnowledge::Kernel),
            None => tiers::compute(&nodes, &performance),
        };
        Ok(Topology {
            nodes,
            offline: read_offline(&folder, &online)?,
            tiers,
            tier_knowledge,
            performance,
            spans: read_spans(sysfs, &folder, &online)?,
        })
    }

    /// The nodes that have memory.
    pub fn nodes_with_memory(&self) -> Vec<NodeId> {
        let nodes = self.nodes.iter().filter(|(_, node)| node.has_memory);
        nodes.map(|(&id, _)| id).collect()
    }

    /// Refuses a node, named by somebody, that cannot take pages, and says which can.
    pub fn check_named(&self, node: NodeId) -> Result<(), NodeRefusal> {
        let with_memory = self.nodes_with_memory();
        match self.nodes.get(&node) {
            Some(found) if found.has_memory => Ok(()),
            Some(_) => Err(NodeRefusal::NoMemory { node, with_memory }),
            None if self.offline.contains(&node) => Err(NodeRefusal::Offline { node, with_memory }),
            None => Err(NodeRefusal::Absent { node, with_memory }),
        }
    }

    /// The node that a frame of ordinary memory belongs to.
    pub fn node_of(&self, frame: Pfn) -> Option<NodeId> {
        let after = self.spans.partition_point(|span| span.start <= frame.0);
        let span = self.spans.get(after.checked_sub(1)?)?;
        (frame.0 < span.end).then_some(span.node)
    }

    /// Each run of memory that belongs to one node, ascending, and that node.
    pub fn memory(&self) -> impl Iterator<Item = (std::ops::Range<Pfn>, NodeId)> {
        let spans = self.spans.iter();
        spans.map(|span| (Pfn(span.start)..Pfn(span.end), span.node))
    }

    /// The first frame of each run of memory that belongs to one node, and that node.
    pub fn memory_starts(&self) -> impl Iterator<Item = (Pfn, NodeId)> {
        self.spans.iter().map(|span| (Pfn(span.start), span.node))
    }

    /// The node whose memory is slowest among those without processors, where CXL memory is found;
    /// among equals the one with most free memory.
    pub fn slowest_node_without_cpu(&self) -> Option<NodeId> {
        let slow = self
            .nodes
            .iter()
            .filter(|(_, node)| node.has_memory && !node.has_cpu);
        let slowest = slow.max_by_key(|&(&id, node)| (self.tier_of(id), node.free_bytes));
        slowest.map(|(&id, _)| id)
    }

    /// The place of a node's tier in [`Topology::tiers`].
    pub fn tier_of(&self, node: NodeId) -> Option<usize> {
        self.tiers
            .iter()
            .position(|tier| tier.nodes.contains(&node))
    }
}

fn read_distances(node: &Path, online: &[u32]) -> Result<BTreeMap<NodeId, u32>, SysfsError> {
    let path = node.join("distance");
    let text = sysfs_file::text(&path)?;
    let distances: Option<Vec<u32>> = text
        .split_whitespace()
        .map(|distance| distance.parse().ok())
        .collect();
    match distances {
        Some(distances) if distances.len() == online.len() => {
            let nodes = online.iter().map(|&number| NodeId(number));
            Ok(nodes.zip(distances).collect())
        }
        _ => Err(sysfs_file::content(
            &path,
            text,
            "distance for each online node",
        )),
    }
}

/// `Node 0 MemFree:  1234 kB` in the node's `meminfo`.
fn read_free_bytes(node: &Path) -> Result<u64, SysfsError> {
    let path = node.join("meminfo");
    let text = sysfs_file::text(&path)?;
    let free = text.lines().find_map(|line| {
        let (_, amount) = line.split_once("MemFree:")?;
        let kilobytes: u64 = amount.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kilobytes.checked_mul(1024)
    });
    free.ok_or_else(|| sysfs_file::content(&path, text, "memory summary with MemFree"))
}

/// Nodes that are possible, but not online.
fn read_offline(folder: &Path, online: &[u32]) -> Result<Vec<NodeId>, SysfsError> {
    let path = folder.join("possible");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let possible = sysfs_file::list(&path)?.into_iter();
    let offline = possible.filter(|number| !online.contains(number));
    Ok(offline.map(NodeId).collect())
}

/// The memory blocks of every node; a block that two nodes share belongs to neither.
fn read_spans(sysfs: &Path, folder: &Path, online: &[u32]) -> Result<Vec<NodeSpan>, SysfsError> {
    let path = sysfs.join("devices/system/memory/block_size_bytes");
    let block_frames = read_block_frames(&path)?;
    let mut blocks: BTreeMap<u32, Option<NodeId>> = BTreeMap::new();
    for &number in online {
        let node = folder.join(format!("node{number}"));
        for (block, _) in sysfs_file::numbered(&node, "memory") {
            blocks
                .entry(block)
                .and_modify(|node| *node = None)
                .or_insert(Some(NodeId(number)));
        }
    }
    let mut spans: Vec<NodeSpan> = Vec::new();
    for (block, node) in blocks {
        let start = u64::from(block).saturating_mul(block_frames);
        let end = start.saturating_add(block_frames);
        match (node, spans.last_mut()) {
            (None, _) => {}
            (Some(node), Some(last)) if last.node == node && last.end == start => last.end = end,
            (Some(node), _) => spans.push(NodeSpan { start, end, node }),
        }
    }
    Ok(spans)
}

/// The only hexadecimal number of sysfs without a prefix.
fn read_block_frames(path: &Path) -> Result<u64, SysfsError> {
    let text = sysfs_file::text(path)?;
    match u64::from_str_radix(&text, 16) {
        Ok(bytes) if bytes >= PAGE_BYTES => Ok(bytes / PAGE_BYTES),
        _ => Err(sysfs_file::content(path, text, "memory block size")),
    }
}

#[cfg(test)]
mod tests;
