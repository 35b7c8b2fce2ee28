// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How much memory a node gives away before its kernel begins to take memory back: free pages above
//! the watermarks of its zones, from `/proc/zoneinfo` (Linux mm/vmstat.c, `zoneinfo_show_print`).
//!
//! A page that is moved to a node is taken from a zone only while that has more free pages than its
//! high watermark and what it reserves for those who can use no other zone (mm/migrate.c,
//! `migrate_balanced_pgdat`).

use std::collections::BTreeMap;
use std::path::Path;

use crate::memory::PAGE_BYTES;
use crate::node::NodeId;
use crate::sysfs_file::{self, SysfsError};

/// A zone of a node, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Zone {
    node: NodeId,
    free: u64,
    high: u64,
    /// Kept for those who can use no other zone, of the largest class.
    reserve: u64,
    /// Free pages in the lists of processors.
    kept_back: u64,
}

impl Zone {
    fn headroom_bytes(&self) -> u64 {
        let kept = self.high.saturating_add(self.reserve);
        self.free.saturating_sub(kept).saturating_mul(PAGE_BYTES)
    }
}

/// What each node can take, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headroom {
    room: BTreeMap<NodeId, u64>,
    kept_back: BTreeMap<NodeId, u64>,
}

impl Headroom {
    /// Reads `/proc/zoneinfo`, or a file like it.
    ///
    /// # Errors
    /// When it cannot be read or lists no zones as the kernel does.
    pub fn read(zoneinfo: &Path) -> Result<Headroom, SysfsError> {
        let text = sysfs_file::text(zoneinfo)?;
        Headroom::parse(&text).ok_or_else(|| {
            let start = text.chars().take(200).collect();
            sysfs_file::content(
                zoneinfo,
                start,
                "list of memory zones with their watermarks",
            )
        })
    }

    /// Headroom that is known otherwise.
    pub fn of(nodes: impl IntoIterator<Item = (NodeId, u64)>) -> Headroom {
        Headroom {
            room: nodes.into_iter().collect(),
            ..Headroom::default()
        }
    }

    /// The same, with so many bytes of a node in the lists of processors.
    #[must_use]
    pub fn with_kept_back(mut self, node: NodeId, bytes: u64) -> Headroom {
        self.kept_back.insert(node, bytes);
        self
    }

    /// What a node can take; none when that is not known.
    pub fn bytes(&self, node: NodeId) -> Option<u64> {
        self.room.get(&node).copied()
    }

    /// Free memory of a node in the lists of processors, which give it to their own programs or, after
    /// seconds, back (mm/vmstat.c, `refresh_cpu_vm_stats`). It does not count as free before.
    pub fn kept_back_bytes(&self, node: NodeId) -> u64 {
        self.kept_back.get(&node).copied().unwrap_or(0)
    }

    /// Whether a node can take so much; what is not known does not stand in the way.
    pub fn has_room(&self, node: NodeId, bytes: u64) -> bool {
        self.bytes(node).is_none_or(|room| room >= bytes)
    }

    /// Counts memory that is on its way to a node.
    pub fn take(&mut self, node: NodeId, bytes: u64) {
        if let Some(room) = self.room.get_mut(&node) {
            *room = room.saturating_sub(bytes);
        }
    }

    fn parse(text: &str) -> Option<Headroom> {
        let mut headroom = Headroom::default();
        let mut zones: Vec<Zone> = Vec::new();
        // Watermarks end where the zone's reserves are told: lists of processors follow that have
        // a `high` of their own.
        let mut is_open = false;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("Node ") {
                let (node, _) = rest.split_once(',')?;
                let node = NodeId(node.trim().parse().ok()?);
                zones.push(Zone {
                    node,
                    ..Zone::default()
                });
                is_open = true;
                continue;
            }
            let line = line.trim();
            let Some(zone) = zones.last_mut() else {
                continue;
            };
            if !is_open {
                if let Some(count) = line.strip_prefix("count:") {
                    let count: u64 = count.trim().parse().ok()?;
                    zone.kept_back = zone.kept_back.saturating_add(count);
                }
            } else if let Some(reserves) = line.strip_prefix("protection:") {
                zone.reserve = largest_reserve(reserves)?;
                is_open = false;
            } else if let Some(free) = line.strip_prefix("pages free") {
                zone.free = free.trim().parse().ok()?;
            } else if let Some(high) = line.strip_prefix("high ") {
                zone.high = high.trim().parse().ok()?;
            }
        }
        for zone in &zones {
            let room = headroom.room.entry(zone.node).or_default();
            *room = room.saturating_add(zone.headroom_bytes());
            let kept_back = headroom.kept_back.entry(zone.node).or_default();
            *kept_back = kept_back.saturating_add(zone.kept_back.saturating_mul(PAGE_BYTES));
        }
        (!zones.is_empty()).then_some(headroom)
    }
}

/// `(0, 1820, 3900)`: a reserve against each class of zones.
fn largest_reserve(text: &str) -> Option<u64> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    let reserves: Option<Vec<u64>> = inner
        .split(',')
        .map(|reserve| reserve.trim().parse().ok())
        .collect();
    reserves?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Linux 6.12 prints it, statistics left out but for those that look like watermarks.
    const TWO_NODES: &str = "\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 271232
  pages free     3840
        boost    0
        min      10
        low      13
        high     16
        promo    19
        spanned  4095
        present  3998
        managed  3840
        cma      0
        protection: (0, 1820, 1900, 1900, 1900)
      nr_free_pages 3840
  pagesets
    cpu: 0
              count:    0
              high:     3
              batch:    1
              high_min: 0
  node_unreclaimable:  0
  start_pfn:           1
Node 0, zone   Normal
  pages free     100000
        min      1000
        low      2000
        high     3000
        protection: (0, 0, 0, 0, 0)
      high 7
  pagesets
    cpu: 0
              count:    40
              high:  9999
    cpu: 1
              count:    2
Node 0, zone  Movable
  pages free     0
        min      32
        low      32
        high     32
        protection: (0, 0, 0, 0, 0)
Node 1, zone  Movable
  pages free     262144
        min      500
        low      700
        high     900
        protection: (0, 0, 0, 0, 0)
";

    #[test]
    fn headroom_is_what_is_free_above_watermarks_and_reserves() {
        let headroom = Headroom::parse(TWO_NODES).unwrap();
        let first = 3840 - 16 - 1900 + 100_000 - 3000;
        assert_eq!(headroom.bytes(NodeId(0)), Some(first * 4096));
        assert_eq!(headroom.bytes(NodeId(1)), Some((262_144 - 900) * 4096));
        assert_eq!(headroom.bytes(NodeId(2)), None);
        let kept_back = [0, 1, 2].map(|node| headroom.kept_back_bytes(NodeId(node)));
        assert_eq!(kept_back, [42 * 4096, 0, 0]);
    }

    #[test]
    fn a_zone_below_its_watermark_takes_nothing_from_the_others() {
        let text = TWO_NODES.replace("pages free     3840", "pages free     5");
        let headroom = Headroom::parse(&text).unwrap();
        assert_eq!(headroom.bytes(NodeId(0)), Some((100_000 - 3000) * 4096));
    }

    #[test]
    fn what_is_on_its_way_takes_room() {
        let mut headroom = Headroom::of([(NodeId(0), 8192)]);
        assert!(headroom.has_room(NodeId(0), 8192) && headroom.has_room(NodeId(7), u64::MAX));
        headroom.take(NodeId(0), 4096);
        headroom.take(NodeId(7), 4096);
        assert!(headroom.has_room(NodeId(0), 4096) && !headroom.has_room(NodeId(0), 4097));
        headroom.take(NodeId(0), u64::MAX);
        assert_eq!(headroom.bytes(NodeId(0)), Some(0));
    }

    #[test]
    fn strange_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zoneinfo");
        for text in [
            "",
            "nothing",
            "Node x, zone DMA",
            "Node 0, zone DMA\n pages free many",
            "Node 0, zone DMA\n protection: 0, 1",
        ] {
            std::fs::write(&path, text).unwrap();
            let message = Headroom::read(&path).unwrap_err().to_string();
            assert!(message.contains("no list of memory zones"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(lines in proptest::collection::vec(
            prop_oneof![
                "Node [0-9]{1,20}, zone  Normal",
                "  pages free     [0-9]{1,20}",
                "        high     [0-9]{1,20}",
                "              count:    [0-9]{1,20}",
                "        protection: \\(([0-9]{1,20}, ){0,3}[0-9]{1,20}\\)",
                ".*",
            ],
            0..20,
        )) {
            let _outcome = Headroom::parse(&lines.join("\n"));
        }
    }
}
