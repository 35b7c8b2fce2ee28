// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the parts of a block lie.
//!
//! An instance starts with a page of registers and range bitmap; its hotlist follows on pages of
//! its own, so that these can be mapped while the registers trap. The pages are aligned to the
//! block, which the 0x10 bytes of block header shift against the instances. Hotlists that do not
//! fit the 16 bits of the instance length lie behind all instances.

use std::ops::Range;

use chmu_spec::chmu::{BLOCK_HEADER_BYTES, RANGE_BYTES, block_bytes, instance_offset};
use chmu_spec::hotlist::ENTRY_BYTES;

/// What can be mapped on its own.
const PAGE_BYTES: u64 = 0x1000;

/// Where the range bitmap starts, from the start of its instance.
pub(crate) const RANGE_BITMAP_OFFSET: u64 = 0x100;

/// Room for a range bitmap in the register page.
const RANGE_BITMAP_ROOM_BYTES: u64 = PAGE_BYTES - BLOCK_HEADER_BYTES - RANGE_BITMAP_OFFSET;

/// The most memory that a range bitmap in the register page covers.
pub(crate) const MAXIMUM_CAPACITY_BYTES: u64 = RANGE_BITMAP_ROOM_BYTES * 8 * RANGE_BYTES;

/// Longest instance whose length is a multiple of a page and fits 16 bits.
const MAXIMUM_INSTANCE_LENGTH: u64 = 0xf000;

/// Where the parts of a block lie.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Bytes from one instance to the next.
    pub(crate) instance_length: u16,
    /// The hotlist of each instance, from the start of the block.
    pub(crate) hotlists: Vec<Range<u64>>,
    /// Bytes of the block, a multiple of a page.
    pub(crate) size_bytes: u64,
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "at most 255 instances of at most 512 KiB each"
)]
impl Layout {
    /// Places instances with these numbers of hotlist entries; at most 255 of them.
    pub(crate) fn new(hotlist_entries: &[u16]) -> Self {
        let pages = |entries: u16| (u64::from(entries) * ENTRY_BYTES).next_multiple_of(PAGE_BYTES);
        let near = |entries: u16| PAGE_BYTES + pages(entries) <= MAXIMUM_INSTANCE_LENGTH;
        let longest_near = hotlist_entries
            .iter()
            .filter(|entries| near(**entries))
            .map(|entries| pages(*entries))
            .max()
            .unwrap_or(0);
        let instance_length = u16::try_from(PAGE_BYTES + longest_near).unwrap_or(u16::MAX);
        let instances = u8::try_from(hotlist_entries.len()).unwrap_or(u8::MAX);

        let mut end = block_bytes(instances, instance_length).next_multiple_of(PAGE_BYTES);
        let mut hotlists = Vec::with_capacity(hotlist_entries.len());
        for (index, &entries) in (0..instances).zip(hotlist_entries) {
            let start = if near(entries) {
                instance_offset(index, instance_length) - BLOCK_HEADER_BYTES + PAGE_BYTES
            } else {
                end
            };
            let area = start..start + pages(entries);
            end = end.max(area.end);
            hotlists.push(area);
        }
        Self {
            instance_length,
            hotlists,
            size_bytes: end,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_hotlist_lies_inside_its_instance() {
        let layout = Layout::new(&[1024, 1024]);
        assert_eq!(layout.instance_length, 0x3000);
        assert_eq!(layout.hotlists, [0x1000..0x3000, 0x4000..0x6000]);
        assert_eq!(layout.size_bytes, 0x7000);
    }

    #[test]
    fn a_large_hotlist_lies_behind_all_instances() {
        let layout = Layout::new(&[65535, 512]);
        assert_eq!(layout.instance_length, 0x2000);
        assert_eq!(layout.hotlists, [0x5000..0x8_5000, 0x3000..0x4000]);
        assert_eq!(layout.size_bytes, 0x8_5000);
    }

    proptest! {
        #[test]
        fn nothing_overlaps(entries in proptest::collection::vec(2_u16.., 1..=64)) {
            let layout = Layout::new(&entries);
            prop_assert!(layout.instance_length.is_multiple_of(0x1000));
            let mut areas = layout.hotlists.clone();
            for index in 0..entries.len() {
                let start = 0x10 + index as u64 * u64::from(layout.instance_length);
                areas.push(start..start + 0xff0);
            }
            areas.sort_by_key(|area| area.start);
            for pair in areas.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start, "{:x?}", pair);
            }
            prop_assert!(areas.last().unwrap().end <= layout.size_bytes);
            for (area, entries) in layout.hotlists.iter().zip(&entries) {
                prop_assert!(area.start.is_multiple_of(0x1000));
                prop_assert!(area.end - area.start >= u64::from(*entries) * 8);
            }
        }
    }
}
