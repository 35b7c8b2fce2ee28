// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a proof is made from: the truth about workloads, where their pages are now, the ledger, and
//! where pages may go.

use std::collections::BTreeMap;

use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use crate::ledger::Ledger;
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

/// A workload and its pages.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Its own truth.
    pub state: State,
    /// Where each of its pages is now.
    pub whereabouts: Vec<Whereabouts>,
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
}

impl Default for Demands {
    fn default() -> Demands {
        Demands {
            minimum_recall: 0.95,
            minimum_precision: 1.0,
            lateness_ns: 0,
            exclusive: false,
            killed: false,
        }
    }
}
