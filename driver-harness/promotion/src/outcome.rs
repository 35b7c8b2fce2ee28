// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What became of hot pages, counted.

use std::collections::BTreeMap;
use std::fmt;

use chmu_machine::node::NodeId;
use serde::Serialize;

/// Why a reported frame was not promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// It was reported with a lower count than asked for.
    BelowMinimumCount,
    /// Too many frames wait already.
    QueueFull,
    /// Its page moved a moment ago: the report is about what was there before.
    RecentlyMoved,
    /// There is no such page.
    NoPage,
    /// It is free.
    Free,
    /// It is part of a hugetlb page.
    Hugetlb,
    /// It is on no reclaim list: memory of the kernel, or a page in the middle of a change.
    NotLru,
    /// It is of no node, or of two.
    UnknownNode,
    /// Its node is in the top memory tier.
    TopTier,
    /// It is on the target already.
    AlreadyThere,
    /// No faster memory is known for its node.
    NoTarget,
    /// No target has room.
    TargetFull,
    /// It did not move, twice: pinned, locked or busy.
    Stayed,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::BelowMinimumCount => "below the minimum count",
            Rejection::QueueFull => "queue full",
            Rejection::RecentlyMoved => "moved a moment ago",
            Rejection::NoPage => "no page",
            Rejection::Free => "free",
            Rejection::Hugetlb => "hugetlb page",
            Rejection::NotLru => "not on a reclaim list",
            Rejection::UnknownNode => "of no node",
            Rejection::TopTier => "in the top tier already",
            Rejection::AlreadyThere => "on the target already",
            Rejection::NoTarget => "no faster memory known",
            Rejection::TargetFull => "target full",
            Rejection::Stayed => "stayed, twice",
        })
    }
}

/// Pages moved from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Route {
    /// Where they were.
    pub source: NodeId,
    /// Where they are.
    pub target: NodeId,
}

/// Counts of one step, or of several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Pages handed to the actuator, each time that they were.
    pub pages_selected: u64,
    /// Pages that arrived, by the actuator's own word.
    pub pages_promoted: BTreeMap<Route, u64>,
    /// Frames that were not promoted.
    pub rejected: BTreeMap<Rejection, u64>,
    /// Calls of the actuator.
    pub batches: u64,
}

impl Outcome {
    pub(super) fn reject(&mut self, rejection: Rejection) {
        *self.rejected.entry(rejection).or_default() += 1;
    }

    /// Pages that arrived anywhere.
    pub fn promoted(&self) -> u64 {
        self.pages_promoted.values().sum()
    }

    /// Frames not promoted for any reason.
    pub fn rejected(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Adds what another step counted.
    pub fn add(&mut self, other: &Outcome) {
        self.pages_selected += other.pages_selected;
        self.batches += other.batches;
        for (&route, pages) in &other.pages_promoted {
            *self.pages_promoted.entry(route).or_default() += pages;
        }
        for (&rejection, count) in &other.rejected {
            *self.rejected.entry(rejection).or_default() += count;
        }
    }
}
