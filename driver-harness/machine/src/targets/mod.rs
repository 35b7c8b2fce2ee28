// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where pages of a slow node go: `promotion_target(nid)`, the mirror of how the kernel finds demotion
//! targets (Linux mm/memory-tiers.c, `establish_demotion_targets`).
//!
//! The kernel demotes to the next slower tier: all of its nodes at the smallest distance are preferred,
//! every slower node is allowed. Here pages go to the next faster tier in the same way, and stay in the
//! top tier (`node_is_toptier`). What else is known only orders the preferred nodes: those whose
//! processors HMAT calls nearest to the slow memory come first, and one is chosen among equals. The
//! kernel's penalties decide who of those has the first turn, never who has none.

use crate::node::NodeId;
use crate::topology::Topology;
use crate::watermarks::Headroom;

mod chooser;
pub mod cross_check;
mod decision;
mod demotion;
pub mod explain;
mod preference;

pub use chooser::{Choice, Chooser};
pub use decision::{Decision, Reason};
pub use demotion::DemotionTargets;
pub use preference::Targets;

/// Why pages of a node go nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// It is not there, or offline.
    #[error("Node {0} is not online")]
    NotOnline(NodeId),
    /// It has no memory that could hold a page.
    #[error("Node {0} has no memory")]
    NoMemory(NodeId),
    /// Its memory is in no tier, as long as the kernel has not put it into one.
    #[error(
        "Node {0} is in no memory tier; the kernel finds one when the node's memory comes online"
    )]
    NoTier(NodeId),
    /// Its memory is as fast as that of a node with processors, or faster.
    #[error("Node {0} is in the top memory tier already")]
    TopTier(NodeId),
    /// No faster tier has memory.
    #[error("No memory tier faster than that of node {0} has memory")]
    NoFasterMemory(NodeId),
    /// No slower tier has memory.
    #[error("No memory tier slower than that of node {0} has memory")]
    NoSlowerMemory(NodeId),
    /// No target has room above its watermarks.
    #[error(
        "No target of node {source_node} has room above its watermarks: {}",
        list(targets)
    )]
    Full {
        /// Where the pages are.
        source_node: NodeId,
        /// The targets that were asked, best first.
        targets: Vec<NodeId>,
    },
}

/// Pages that need a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The node that they are on.
    pub source: NodeId,
    /// The node whose processor uses them, where that is known (synchronous context).
    pub accessor: Option<NodeId>,
    /// How much room they need.
    pub bytes: u64,
}

/// The node that pages are promoted to.
///
/// The accessor's node, when it is known and legal: it is online, has memory with room, and that is in
/// a faster tier than the pages are. Otherwise one of the source node's [`Targets`].
///
/// # Errors
/// When there is no faster memory, or none with room.
pub fn promotion_target(
    request: &Request,
    topology: &Topology,
    headroom: &Headroom,
    chooser: &mut Chooser,
) -> Result<Decision, NoTarget> {
    Targets::of(topology, request.source)?.choose(request, headroom, chooser)
}

/// Node numbers as people list them.
fn list(nodes: &[NodeId]) -> String {
    let names: Vec<_> = nodes.iter().map(NodeId::to_string).collect();
    match &*names {
        [] => "none".into(),
        [one] => format!("node {one}"),
        [first @ .., last] => format!("nodes {} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests;
