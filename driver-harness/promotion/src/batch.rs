// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages that are to move together, and what becomes of each.

use chmu_machine::memory::owners::Owner;
use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;
use serde::{Deserialize, Serialize};

use crate::report::number;

/// Where pages are and where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Where they are.
    #[serde(rename = "from")]
    pub source: NodeId,
    /// Where they go.
    #[serde(rename = "to")]
    pub target: NodeId,
}

/// Pages that move as one: a base page, or a larger folio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Folio {
    /// The first page's frame.
    #[serde(rename = "frame", with = "number::pfn")]
    pub head: Pfn,
    /// How many pages; at least 1.
    pub pages: u64,
}

impl Folio {
    /// The frame after its last.
    pub fn end(&self) -> Pfn {
        Pfn(self.head.0.saturating_add(self.pages))
    }
}

/// A folio that is to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The folio, as it was a moment ago.
    pub folio: Folio,
    /// Who is known to map it, where the source said so.
    pub owner: Option<Owner>,
}

/// Whether pages go to faster memory or to slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To faster memory, as they are hot.
    Promotion,
    /// To slower memory, as they are cold and make room.
    Demotion,
}

/// Folios of one node that go to one other: the `vec` of `promote_batch(vec, target)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number, from 1, in the order in which batches were made.
    pub number: u64,
    /// To faster memory or to slower.
    pub direction: Direction,
    /// From where to where.
    pub route: Route,
    /// What is to move, by frame; none twice.
    pub candidates: Vec<Candidate>,
}

impl Batch {
    /// How many pages its folios have.
    pub fn pages(&self) -> u64 {
        self.candidates
            .iter()
            .map(|candidate| candidate.folio.pages)
            .sum()
    }

    /// The first frame of each folio.
    pub fn heads(&self) -> Vec<Pfn> {
        self.candidates
            .iter()
            .map(|candidate| candidate.folio.head)
            .collect()
    }
}

/// What became of a folio that an actuator tried to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It left its frames for this node.
    Moved {
        /// Where it is.
        node: NodeId,
    },
    /// It would have been moved, had this not been a dry run.
    WouldMove,
    /// It was on the target before.
    AlreadyThere,
    /// It is on no reclaim list at the moment, or never will be.
    NotLru,
    /// Somebody holds it in its place, for example for device access.
    Pinned,
    /// It is locked or being written back.
    Busy,
    /// The target has no room.
    TargetFull,
    /// The frame is free, or holds another page than the one that was meant.
    Gone,
    /// Nobody knows where it is: other pages moved into frames that were left meanwhile, and it may have stayed in
    /// one that looks as before; or it left its frames, and the kernel took memory of other nodes meanwhile, as the
    /// target was full.
    Unseen,
    /// A process's cpuset does not allow the target.
    CpusetForbids,
    /// No process maps it, so that this actuator cannot move it.
    Unmapped,
    /// It is part of a hugetlb page, which is never promoted.
    Hugetlb,
    /// The kernel refused for another reason.
    Refused {
        /// Its error number.
        errno: i32,
    },
    /// It is where it was, and the kernel does not say why.
    Stayed,
}
