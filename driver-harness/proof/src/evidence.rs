// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a proof is made from: the truth about workloads, where their pages are now, the ledger, and
//! where pages may go.

use std::collections::BTreeMap;

use chmu_machine::node::NodeId;
use chmu_promotion::Folio;
use chmu_spec::address::Pfn;

use crate::ledger::Ledger;
use crate::observation::{ObservedNode, Seen};
use crate::workload::state::State;

/// Where a page is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// In memory.
    Present {
        /// On this node.
        node: NodeId,
        /// In this frame; none when the kernel hides frames.
        frame: Option<Pfn>,
    },
    /// Nowhere, for this reason (an error number).
    Absent(i32),
}

/// What is known of pages of a process on a node.
#[derive(Debug, Clone)]
pub enum Truth {
    /// A workload's own word.
    Told(Box<State>),
    /// What a device counted of a program that says nothing of itself.
    Observed(ObservedNode),
}

/// A process and its pages.
#[derive(Debug, Clone)]
pub struct Witness {
    /// The truth about the pages.
    pub truth: Truth,
    /// Where each of the pages is now.
    pub whereabouts: Vec<Whereabouts>,
}

impl Truth {
    /// The process.
    pub fn process_id(&self) -> u32 {
        match self {
            Truth::Told(state) => state.process_id,
            Truth::Observed(observed) => observed.process_id,
        }
    }

    /// The node that the pages started on.
    pub fn node(&self) -> NodeId {
        match self {
            Truth::Told(state) => state.node,
            Truth::Observed(observed) => observed.node,
        }
    }

    /// The frame that each page started in; none when the kernel hid frames.
    pub fn start_frames(&self) -> Option<Vec<Pfn>> {
        match self {
            Truth::Told(state) => {
                let frames = state.start_frames.as_ref()?;
                Some(frames.iter().copied().map(Pfn).collect())
            }
            Truth::Observed(observed) => {
                let pages = observed.pages.iter();
                Some(pages.map(|page| Pfn(page.frame)).collect())
            }
        }
    }

    /// Since when a page is known to be in the frame that it started in.
    pub fn since_ns(&self, page: u64) -> u64 {
        match self {
            Truth::Told(state) => state.ready_monotonic_ns,
            Truth::Observed(observed) => observed.page(page).map_or(u64::MAX, |page| page.seen_ns),
        }
    }

    /// Folios of several pages that held pages at the start; none when the kernel hides them.
    pub fn large_folios(&self) -> Option<&[Folio]> {
        match self {
            Truth::Told(state) => state.large_folios.as_deref(),
            Truth::Observed(observed) => observed.large_folios.as_deref(),
        }
    }

    /// Whether a page is hot now, or was last.
    pub fn is_hot(&self, page: u64) -> bool {
        match self {
            Truth::Told(state) => state.hot_pages.binary_search(&page).is_ok(),
            Truth::Observed(observed) => observed.seen(page) == Seen::Hot,
        }
    }

    /// The address of a page, where pages are told by it and not by their number.
    pub fn address(&self, page: u64) -> Option<u64> {
        match self {
            Truth::Told(_) => None,
            Truth::Observed(observed) => observed.page(page).map(|page| page.address),
        }
    }

    /// What is known is what a device counted.
    pub fn is_observed(&self) -> bool {
        matches!(self, Truth::Observed(_))
    }
}

/// All that is known.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Workloads whose truth is known.
    pub witnesses: Vec<Witness>,
    /// What promotion wrote down; none where nobody did.
    pub ledger: Option<Ledger>,
    /// Where promoted pages of each node belong: nodes that are equally good. A node that is not named
    /// is one whose pages stay.
    pub targets: BTreeMap<NodeId, Vec<NodeId>>,
    /// Where cold pages of each node may go to make room there.
    pub demotion_targets: BTreeMap<NodeId, Vec<NodeId>>,
    /// When the pages were looked at, on the ledger's clock.
    pub now_ns: u64,
}

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demands {
    /// The least part of the hot pages that must be promoted.
    pub minimum_recall: f64,
    /// The least part of the promoted folios that must be hot.
    pub minimum_precision: f64,
    /// A page that was hot until this long before it moved is no stale one.
    pub lateness_ns: u64,
    /// Nothing but pages of the workloads may be promoted.
    pub exclusive: bool,
    /// The engine was killed: its ledger has no end.
    pub killed: bool,
    /// The greatest part of the moved pages that may be neither clearly hot nor clearly cold.
    pub maximum_unclear: f64,
}

impl Default for Demands {
    fn default() -> Demands {
        Demands {
            minimum_recall: 0.95,
            minimum_precision: 1.0,
            lateness_ns: 0,
            exclusive: false,
            killed: false,
            maximum_unclear: 0.05,
        }
    }
}
