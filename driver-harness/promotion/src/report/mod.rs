// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a source of hotness says: plain data, the same for every source.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`, or of the clock that a source without a machine lives
//! by.

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::node::NodeId;
use chmu_spec::address::{Dpa, HpaRange, Pfn};
use serde::{Deserialize, Serialize};

mod facts;
mod tunable;

pub(crate) use facts::number;
pub use facts::{Facts, Health, Knowledge, SourceKind, Tuning, WatchedRange};
pub use tunable::{Bounds, Fixed, Settings, Tunable};

/// What a source found since it was last asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// When it was handed out.
    pub handed_out_ns: u64,
    /// No access that this report counts was made before this time.
    ///
    /// A frame that a page left after it may be reported for what that page did, so that the report
    /// says nothing of what the frame holds now. For a CHMU: the start of the previous reading of its
    /// list, less the granted epoch and the device's lateness.
    pub earliest_access_ns: u64,
    /// What was hot, in the order in which the source found it.
    pub extents: Vec<HotExtent>,
    /// The node of the processors that made the accesses, where the source knows it: synchronous
    /// context.
    pub accessor: Option<NodeId>,
    /// What it could not say.
    pub lost: Lost,
}

/// What a report leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lost {
    /// The source found more than it could tell.
    pub overflow: bool,
    /// Units that are known to be lost; 0 where the source does not count them.
    pub units_dropped: u64,
    /// Units that lie in no memory of this machine.
    pub outside_memory: u64,
}

/// Neighbouring pages of which some, or all, were hot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotExtent {
    /// Which pages.
    pub place: Place,
    /// How hot.
    pub weight: Weight,
    /// Pages that share the weight, those of other extents of the same unit included; at least 1. A
    /// unit that is larger than a page, or that an interleave spreads over several, does not say which
    /// of them was hot.
    pub sharing_pages: u64,
    /// Where the device found it; none for a source that is no device.
    pub unit: Option<UnitPlace>,
}

/// A unit of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPlace {
    /// Which of the source's members found it, in the order of the source's name, from 0.
    pub member: usize,
    /// Its first byte in that device.
    pub dpa: Dpa,
}

/// Which pages an extent means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Page frames of the machine.
    Frames {
        /// The first.
        start: Pfn,
        /// How many.
        pages: u64,
    },
    /// Pages of a process.
    Addresses {
        /// The process.
        process_id: u32,
        /// Virtual address of the first page.
        start: u64,
        /// How many pages.
        pages: u64,
    },
}

impl Place {
    /// The frames that hold any byte of a range of host physical addresses.
    pub fn of_range(range: HpaRange) -> Place {
        let start = range.start.pfn();
        let end = match range.bytes {
            0 => start.0,
            _ => range.end().0.div_ceil(PAGE_BYTES),
        };
        Place::Frames {
            start,
            pages: end.saturating_sub(start.0),
        }
    }

    /// How many pages it means.
    pub fn pages(&self) -> u64 {
        match *self {
            Place::Frames { pages, .. } | Place::Addresses { pages, .. } => pages,
        }
    }
}

/// How hot something is, in the source's own measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// What was counted.
    pub kind: WeightKind,
    /// How many.
    pub value: u64,
}

/// What a weight counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightKind {
    /// Accesses, each of them.
    Accesses,
    /// Intervals in which there was an access, however many: accessed bits.
    Intervals {
        /// Length of one.
        interval_ns: u64,
    },
    /// Accesses of which one in so many is counted.
    Samples {
        /// Accesses for one that is counted; at least 1.
        period: u64,
    },
}

impl Weight {
    /// So many accesses.
    pub fn accesses(value: u64) -> Weight {
        Weight {
            kind: WeightKind::Accesses,
            value,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use chmu_spec::address::Hpa;

    proptest! {
        #[test]
        fn a_range_means_the_pages_that_hold_its_bytes(start in any::<u64>(), bytes in 0..100_000_u64) {
            let range = HpaRange { start: Hpa(start), bytes };
            let place = Place::of_range(range);
            let Place::Frames { start, pages } = place else { panic!("{place:?}") };
            let frames: Vec<_> = (0..pages).map(|page| Pfn(start.0 + page)).collect();
            prop_assert_eq!(frames, range.pages().collect::<Vec<_>>());
            prop_assert_eq!(place.pages(), pages);
        }
    }
}
