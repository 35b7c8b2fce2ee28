// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Latency and bandwidth between nodes, as the kernel shows them: for each memory only those of its
//! nearest initiators (Linux drivers/base/node.c, Documentation/admin-guide/mm/numaperf.rst).

use std::collections::BTreeMap;
use std::path::Path;

use super::Node;
use crate::acpi::tables::Performance;
use crate::node::NodeId;
use crate::sysfs_file::{self, SysfsError};

/// What initiators find when they access memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerformanceMap(BTreeMap<(NodeId, NodeId), Performance>);

impl PerformanceMap {
    /// What processors of one node find in the memory of another.
    pub fn between(&self, from: NodeId, to: NodeId) -> Option<Performance> {
        self.0.get(&(from, to)).copied()
    }

    /// What the processors find that are nearest to a node's memory.
    pub fn of_memory(&self, id: NodeId, node: &Node) -> Option<Performance> {
        self.between(*node.cpu_initiators.first()?, id)
    }

    /// Adds what is known; nothing is no knowledge.
    pub fn insert(&mut self, from: NodeId, to: NodeId, performance: Performance) {
        if !performance.is_unknown() {
            self.0.insert((from, to), performance);
        }
    }

    /// What the kernel tells of the nearest processors of each node.
    pub(super) fn read(
        folder: &Path,
        nodes: &BTreeMap<NodeId, Node>,
    ) -> Result<PerformanceMap, SysfsError> {
        let mut map = PerformanceMap::default();
        for (&id, node) in nodes {
            let access = folder.join(format!("node{id}/access1/initiators"));
            let figure = |name: &str| -> Result<Option<u32>, SysfsError> {
                let path = access.join(name);
                if !path.exists() {
                    return Ok(None);
                }
                let figure = sysfs_file::number(&path)?;
                Ok(u32::try_from(figure).ok().filter(|figure| *figure > 0))
            };
            let performance = Performance {
                read_latency_ns: figure("read_latency")?,
                write_latency_ns: figure("write_latency")?,
                read_bandwidth_mb_per_s: figure("read_bandwidth")?,
                write_bandwidth_mb_per_s: figure("write_bandwidth")?,
            };
            for &initiator in &node.cpu_initiators {
                map.insert(initiator, id, performance);
            }
        }
        Ok(map)
    }
}

/// The nearest initiators of a node's memory: 0 for any, 1 for those with processors.
pub(super) fn initiators(node: &Path, class: u8) -> Vec<NodeId> {
    let folder = node.join(format!("access{class}/initiators"));
    let nodes = sysfs_file::numbered(&folder, "node").into_iter();
    nodes.map(|(number, _)| NodeId(number)).collect()
}

/// Bytes of the caches in front of a node's memory.
pub(super) fn read_side_caches(node: &Path) -> Result<u64, SysfsError> {
    let caches = sysfs_file::numbered(&node.join("memory_side_cache"), "index").into_iter();
    let mut sizes = caches.map(|(_, cache)| sysfs_file::number(&cache.join("size")));
    sizes.try_fold(0_u64, |sum, size| Ok(sum.saturating_add(size?)))
}
