// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether the right pages were promoted, and to the right node: a workload's own truth against
//! where the kernel says its pages are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use chmu_machine::memory::numa::{self, Placement};
use chmu_machine::node::NodeId;
use chmu_machine::sysfs_file::SysfsError;
use chmu_machine::targets::{NoTarget, Targets};
use chmu_machine::topology::Topology;
use serde::Serialize;

use crate::workload::state::State;

/// A proof that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The workload is gone or belongs to somebody else.
    #[error("Cannot ask where the pages of process {process_id} are; does the workload still run?")]
    Query {
        /// The workload's process.
        process_id: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The topology cannot be read.
    #[error(transparent)]
    Topology(#[from] SysfsError),
    /// Promoted pages should not exist.
    #[error("Cannot tell where promoted pages belong")]
    Target(#[from] NoTarget),
}

/// What was found; pages are counted, each once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proof {
    /// The workload's process.
    pub process_id: u32,
    /// The node that the pages were put on.
    pub source_node: NodeId,
    /// Where promoted pages belong: the first of `target_nodes`.
    pub target_node: NodeId,
    /// All nodes that are equally good.
    pub target_nodes: Vec<NodeId>,
    /// All pages.
    pub pages: u64,
    /// Hot pages, by the workload's own truth.
    pub true_hot_pages: u64,
    /// Pages that are no longer on the source node.
    pub promoted_pages: u64,
    /// Hot pages among these.
    pub promoted_hot_pages: u64,
    /// Cold pages among these.
    pub wrong_pages_promoted: u64,
    /// Promoted pages that are on another node than a target.
    pub pages_on_wrong_node: u64,
    /// Pages that are nowhere in memory.
    pub absent_pages: u64,
    /// Pages by node.
    pub pages_by_node: BTreeMap<NodeId, u64>,
    /// The part of the promoted pages that is hot; 1 when none is promoted.
    pub precision: f64,
    /// The part of the hot pages that is promoted; 1 when none is hot.
    pub recall: f64,
    /// Every promoted page is on a target, and no page is absent.
    pub placement_ok: bool,
}

/// Asks the kernel where the workload's pages are now, and compares.
pub fn prove(state: &State, topology: &Topology) -> Result<Proof, ProofError> {
    let process_id = state.process_id;
    let places = numa::query_pages(process_id, &state.page_addresses());
    let places = places.map_err(|source| ProofError::Query { process_id, source })?;
    let targets = Targets::of(topology, state.node)?;
    Ok(compare(state, &places, targets.preferred))
}

/// `places` has the place of each of the workload's pages; `targets` is not empty.
fn compare(state: &State, places: &[Placement], targets: Vec<NodeId>) -> Proof {
    let hot: BTreeSet<_> = state.hot_pages.iter().copied().collect();
    let mut pages_by_node = BTreeMap::new();
    let mut absent_pages = 0;
    let (mut promoted_hot, mut promoted_cold, mut misplaced) = (0, 0, 0);
    for (page, &place) in (0..).zip(places) {
        let Placement::Node(node) = place else {
            absent_pages += 1;
            continue;
        };
        *pages_by_node.entry(node).or_default() += 1;
        if node == state.node {
            continue;
        }
        match hot.contains(&page) {
            true => promoted_hot += 1,
            false => promoted_cold += 1,
        }
        misplaced += u64::from(!targets.contains(&node));
    }
    let promoted_pages = promoted_hot + promoted_cold;
    Proof {
        process_id: state.process_id,
        source_node: state.node,
        target_node: targets.first().copied().unwrap_or(state.node),
        target_nodes: targets,
        pages: places.len() as u64,
        true_hot_pages: hot.len() as u64,
        promoted_pages,
        promoted_hot_pages: promoted_hot,
        wrong_pages_promoted: promoted_cold,
        pages_on_wrong_node: misplaced,
        absent_pages,
        pages_by_node,
        precision: ratio(promoted_hot, promoted_pages),
        recall: ratio(promoted_hot, hot.len() as u64),
        placement_ok: misplaced == 0 && absent_pages == 0,
    }
}

/// 1 for none of none.
#[expect(clippy::cast_precision_loss)]
fn ratio(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 1.0,
        _ => part as f64 / whole as f64,
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} hot pages are promoted (recall {:.3}), and {} cold ones (precision {:.3})",
            self.promoted_hot_pages,
            self.true_hot_pages,
            self.recall,
            self.wrong_pages_promoted,
            self.precision
        )?;
        for (node, pages) in &self.pages_by_node {
            let role = if *node == self.source_node {
                " (source)"
            } else if self.target_nodes.contains(node) {
                " (target)"
            } else {
                " (neither source nor target)"
            };
            writeln!(f, "node {node}{role}: {pages} of {} pages", self.pages)?;
        }
        let verdict = match self.placement_ok {
            true => "Every promoted page is on its target",
            false => "Some pages are where they do not belong",
        };
        writeln!(f, "{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workload::state::tests::state;

    const SLOW: NodeId = NodeId(1);
    const TARGET: NodeId = NodeId(0);
    const OTHER: NodeId = NodeId(2);

    fn proof(hot: &[u64], places: &[Placement]) -> Proof {
        let state = State {
            hot_pages: hot.to_vec(),
            pages: places.len() as u64,
            ..state()
        };
        compare(&state, places, vec![TARGET])
    }

    #[test]
    fn a_perfect_promotion_is_recognised() {
        let places = [TARGET, SLOW, TARGET, SLOW].map(Placement::Node);
        let proof = proof(&[0, 2], &places);
        assert_eq!((proof.precision, proof.recall), (1.0, 1.0));
        assert_eq!(proof.wrong_pages_promoted, 0);
        assert!(proof.placement_ok);
        assert_eq!((proof.target_node, proof.true_hot_pages), (TARGET, 2));
    }

    #[test]
    fn wrong_pages_and_wrong_nodes_are_told_apart() {
        let places = [OTHER, TARGET, SLOW, TARGET].map(Placement::Node);
        let proof = proof(&[0, 1, 2], &places);
        assert_eq!((proof.promoted_pages, proof.wrong_pages_promoted), (3, 1));
        assert_eq!(proof.pages_on_wrong_node, 1);
        assert!(!proof.placement_ok);
        let text = proof.to_string();
        assert!(text.contains("2 of 3 hot pages are promoted (recall 0.667), and 1 cold ones"));
        assert!(text.contains("node 2 (neither source nor target): 1 of 4 pages"));
    }

    #[test]
    fn a_page_that_is_gone_spoils_the_placement() {
        let proof = proof(&[], &[Placement::Not(libc::ENOENT), Placement::Node(SLOW)]);
        assert!(!proof.placement_ok);
        assert_eq!((proof.absent_pages, proof.promoted_pages), (1, 0));
        assert_eq!((proof.precision, proof.recall), (1.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_counts_agree_with_counting(pages in proptest::collection::vec(
            (any::<bool>(), 0..3_u32), 0..50)
        ) {
            let hot: Vec<_> = (0..).zip(&pages).filter(|(_, page)| page.0).map(|(n, _)| n).collect();
            let places: Vec<_> = pages.iter().map(|page| Placement::Node(NodeId(page.1))).collect();
            let proof = proof(&hot, &places);
            let count = |wanted: &dyn Fn(&(bool, u32)) -> bool| {
                pages.iter().filter(|page| wanted(page)).count() as u64
            };
            let right = count(&|page| page.0 && page.1 != 1);
            let promoted = count(&|page| page.1 != 1);
            prop_assert_eq!(proof.promoted_pages, promoted);
            prop_assert_eq!(proof.wrong_pages_promoted, promoted - right);
            prop_assert_eq!(proof.placement_ok, count(&|page| page.1 == 2) == 0);
            prop_assert!((0.0..=1.0).contains(&proof.precision));
            if promoted > 0 {
                prop_assert!((proof.precision * promoted as f64 - right as f64).abs() < 1e-9);
            }
            prop_assert_eq!(proof.pages_by_node.values().sum::<u64>(), pages.len() as u64);
        }
    }
}
