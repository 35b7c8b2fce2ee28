// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether a node has room for a page that did not get there.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::node::NodeId;
use chmu_machine::watermarks::Headroom;

/// What a node can take, read when it is first asked for: the list of zones is long.
#[derive(Debug)]
pub(super) struct Room {
    zones: PathBuf,
    target: NodeId,
    bytes: OnceCell<Option<u64>>,
}

impl Room {
    /// The room on `target`; where it is not known, everything has room.
    pub(super) fn of(procfs: &Path, target: NodeId) -> Room {
        Room {
            zones: procfs.join("zoneinfo"),
            target,
            bytes: OnceCell::new(),
        }
    }

    /// Whether so many pages have room.
    pub(super) fn holds(&self, pages: u64) -> bool {
        let wanted = pages.saturating_mul(PAGE_BYTES);
        let bytes = self.bytes.get_or_init(|| {
            let headroom = Headroom::read(&self.zones);
            headroom
                .ok()
                .and_then(|headroom| headroom.bytes(self.target))
        });
        bytes.is_none_or(|bytes| bytes >= wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_holds_what_is_free_above_its_watermark() {
        let procfs = tempfile::tempdir().unwrap();
        let room = |node| Room::of(procfs.path(), NodeId(node));
        assert!(room(0).holds(u64::MAX), "nothing is known");
        let zones = "Node 0, zone   Normal\n  pages free     110\n        high     100\n        \
                     protection: (0, 0)\n";
        std::fs::write(procfs.path().join("zoneinfo"), zones).unwrap();
        assert!(room(0).holds(10) && !room(0).holds(11));
        assert!(room(7).holds(11));
    }
}
