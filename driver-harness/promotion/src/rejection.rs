// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why hot pages are not promoted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::batch::Fate;

/// Why a reported page was not promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// It is less hot than asked for.
    BelowMinimumHeat,
    /// It shares its hotness with other pages, which was not allowed.
    CoarseUnit,
    /// Too many folios wait already, and all are hotter.
    QueueFull,
    /// The source is being adapted: its list overflowed, or what it reports may be no hotter than others.
    Tuning,
    /// The run had been told to end before the report was looked at.
    RunEnded,
    /// A page left the frame after the report's earliest access: the report may be about that page.
    RecentlyMoved,
    /// It waited so long that its hotness is old news.
    Stale,
    /// There is no such page.
    NoPage,
    /// It is free.
    Free,
    /// No frame of the machine holds the process's page.
    NotPresent,
    /// It is part of a hugetlb page.
    Hugetlb,
    /// It is on no reclaim list: memory of the kernel, or a page in the middle of a change.
    NotLru,
    /// Too few of the pages of its folio are hot.
    Sparse,
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
    /// The target demotes as much as is promoted to it.
    Spilling,
    /// It was promoted, demoted, and hot again within a short time.
    PingPong,
    /// The frame holds another page than the one that was reported.
    AnotherPage,
    /// It was tried, and nothing shows whether it moved, where to, or which page its frame holds now.
    Unseen,
    /// Somebody holds it in its place.
    Pinned,
    /// It stayed locked or in writeback.
    Busy,
    /// A process's cpuset does not allow the target.
    CpusetForbids,
    /// No process maps it, so that this actuator cannot move it.
    Unmapped,
    /// The kernel refused to move it.
    KernelRefused,
    /// The actuator that was to move it did not come back: it may have moved.
    Unheard,
    /// It did not move, each time that it was tried, and the kernel does not say why.
    Stayed,
}

impl Rejection {
    /// What a fate means for a folio that did not move; none when it did, or would have.
    pub fn of_fate(fate: Fate) -> Option<Rejection> {
        Some(match fate {
            Fate::Moved { .. } | Fate::WouldMove => return None,
            Fate::AlreadyThere => Rejection::AlreadyThere,
            Fate::NotLru => Rejection::NotLru,
            Fate::Pinned => Rejection::Pinned,
            Fate::Busy => Rejection::Busy,
            Fate::TargetFull => Rejection::TargetFull,
            Fate::Gone => Rejection::AnotherPage,
            Fate::Unseen => Rejection::Unseen,
            Fate::CpusetForbids => Rejection::CpusetForbids,
            Fate::Unmapped => Rejection::Unmapped,
            Fate::Hugetlb => Rejection::Hugetlb,
            Fate::Refused { .. } => Rejection::KernelRefused,
            Fate::Stayed => Rejection::Stayed,
        })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::BelowMinimumHeat => "below the minimum heat",
            Rejection::CoarseUnit => "in a unit with other pages",
            Rejection::QueueFull => "queue full of ones as hot or hotter",
            Rejection::Tuning => "while settings were adapted",
            Rejection::RunEnded => "reported as the run ended",
            Rejection::RecentlyMoved => "moved a moment ago",
            Rejection::Stale => "waited too long",
            Rejection::NoPage => "no page",
            Rejection::Free => "free",
            Rejection::NotPresent => "not present in its process",
            Rejection::Hugetlb => "hugetlb page",
            Rejection::NotLru => "not on a reclaim list",
            Rejection::Sparse => "in a large folio that is mostly cold",
            Rejection::UnknownNode => "of no node",
            Rejection::TopTier => "in the top tier already",
            Rejection::AlreadyThere => "on the target already",
            Rejection::NoTarget => "no faster memory known",
            Rejection::TargetFull => "target full",
            Rejection::Spilling => "target demotes as much as is promoted",
            Rejection::PingPong => "promoted and demoted by turns",
            Rejection::AnotherPage => "another page by now",
            Rejection::Unseen => "moved, or not: nothing shows where it is",
            Rejection::Pinned => "pinned",
            Rejection::Busy => "locked or in writeback",
            Rejection::CpusetForbids => "forbidden by a cpuset",
            Rejection::Unmapped => "mapped by no process",
            Rejection::KernelRefused => "refused by the kernel",
            Rejection::Unheard => "with an actuator that did not come back",
            Rejection::Stayed => "stayed",
        })
    }
}
