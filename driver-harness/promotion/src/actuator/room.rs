// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether a node has room for a page that did not get there.

use std::path::Path;

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::node::NodeId;
use chmu_machine::watermarks::Headroom;

/// What a node can take, as it was after an attempt.
#[derive(Debug)]
pub(super) struct Room {
    bytes: Option<u64>,
}

impl Room {
    /// The room on `target`; where it is not known, everything has room.
    pub(super) fn of(procfs: &Path, target: NodeId) -> Room {
        let headroom = Headroom::read(&procfs.join("zoneinfo"));
        Room {
            bytes: headroom.ok().and_then(|headroom| headroom.bytes(target)),
        }
    }

    /// Whether so many pages have room.
    pub(super) fn holds(&self, pages: u64) -> bool {
        let wanted = pages.saturating_mul(PAGE_BYTES);
        self.bytes.is_none_or(|bytes| bytes >= wanted)
    }
}
