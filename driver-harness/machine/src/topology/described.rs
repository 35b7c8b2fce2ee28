// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The topology of a machine that somebody describes in a few words.

use std::collections::BTreeMap;

use chmu_spec::address::Pfn;
use serde::Deserialize;

use super::performance::PerformanceMap;
use super::{Node, NodeSpan, Topology, tiers};
use crate::node::NodeId;

const LOCAL_DISTANCE: u32 = 10;
const REMOTE_DISTANCE: u32 = 20;

/// A node in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedNode {
    /// Its number.
    pub node: NodeId,
    /// It has processors.
    #[serde(default)]
    pub cpus: bool,
    /// Its first page frame.
    pub start: u64,
    /// How many page frames it has.
    pub pages: u64,
    /// Distance to other nodes in the firmware's units; 10 to itself and 20 to others where nothing is
    /// said.
    #[serde(default)]
    pub distances: BTreeMap<NodeId, u32>,
}

/// A description that cannot be of a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// A node is named twice.
    #[error("Node {0} is described twice")]
    Twice(NodeId),
    /// Two nodes have the same memory.
    #[error("Nodes {first} and {second} both have page frame {frame}")]
    Shared {
        /// One node.
        first: NodeId,
        /// The other.
        second: NodeId,
        /// A frame of both.
        frame: Pfn,
    },
}

impl Topology {
    /// The nodes of a machine that is described; its tiers are a guess by processors and distance.
    ///
    /// # Errors
    /// When nodes are named twice or share memory.
    pub fn described(described: &[DescribedNode]) -> Result<Topology, DescriptionError> {
        let mut nodes = BTreeMap::new();
        let mut spans: Vec<NodeSpan> = Vec::new();
        for one in described {
            let distances = described.iter().map(|other| {
                let default = match one.node == other.node {
                    true => LOCAL_DISTANCE,
                    false => REMOTE_DISTANCE,
                };
                let told = one.distances.get(&other.node).copied();
                (other.node, told.unwrap_or(default))
            });
            let node = Node {
                has_cpu: one.cpus,
                has_memory: one.pages > 0,
                distances: distances.collect(),
                ..Node::default()
            };
            if nodes.insert(one.node, node).is_some() {
                return Err(DescriptionError::Twice(one.node));
            }
            spans.push(NodeSpan {
                start: one.start,
                end: one.start.saturating_add(one.pages),
                node: one.node,
            });
        }
        spans.retain(|span| span.start < span.end);
        spans.sort_by_key(|span| span.start);
        for pair in spans.windows(2) {
            if pair[1].start < pair[0].end {
                return Err(DescriptionError::Shared {
                    first: pair[0].node,
                    second: pair[1].node,
                    frame: Pfn(pair[1].start),
                });
            }
        }
        let performance = PerformanceMap::default();
        let (tiers, tier_knowledge) = tiers::compute(&nodes, &performance);
        Ok(Topology {
            nodes,
            offline: Vec::new(),
            tiers,
            tier_knowledge,
            performance,
            spans,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::Targets;

    fn node(node: u32, cpus: bool, start: u64, pages: u64) -> DescribedNode {
        DescribedNode {
            node: NodeId(node),
            cpus,
            start,
            pages,
            distances: BTreeMap::new(),
        }
    }

    #[test]
    fn pages_of_a_described_slow_node_go_to_the_processors() {
        let nodes = [node(1, false, 100, 50), node(0, true, 0, 100)];
        let topology = Topology::described(&nodes).unwrap();
        assert_eq!(topology.node_of(Pfn(99)), Some(NodeId(0)));
        assert_eq!(topology.node_of(Pfn(149)), Some(NodeId(1)));
        assert_eq!(topology.node_of(Pfn(150)), None);
        let targets = Targets::of(&topology, NodeId(1)).unwrap();
        assert_eq!(targets.preferred, [NodeId(0)]);
        assert!(Targets::of(&topology, NodeId(0)).is_err());
    }

    #[test]
    fn a_description_of_no_machine_is_refused() {
        let refused = |nodes: &[DescribedNode]| Topology::described(nodes).unwrap_err().to_string();
        assert_eq!(
            refused(&[node(0, true, 0, 9), node(0, true, 9, 9)]),
            "Node 0 is described twice"
        );
        assert_eq!(
            refused(&[node(0, true, 0, 9), node(1, true, 8, 9)]),
            "Nodes 0 and 1 both have page frame 0x8"
        );
    }
}
