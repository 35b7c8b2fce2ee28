// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the parts of a block lie.
//!
//! An instance starts with a page of registers, whose end the range bitmap takes up; its hotlist
//! follows on pages of its own, so that these can be mapped while the registers trap. The bitmap
//! is as long as the device's memory needs and ends where the hotlist starts: public drivers take
//! it to reach up to there. The pages are aligned to the block, which the 0x10 bytes of block
//! header shift against the instances. Hotlists that do not fit the 16 bits of the instance
//! length lie behind all instances.

use std::ops::Range;

use chmu_spec::chmu::{
    BLOCK_HEADER_BYTES, INSTANCE_REGISTERS_BYTES, RANGE_BYTES, block_bytes, instance_offset,
};
use chmu_spec::hotlist::ENTRY_BYTES;

/// What can be mapped on its own.
const PAGE_BYTES: u64 = 0x1000;

/// End of the register page, from the start of its instance.
const REGISTER_PAGE_END: u64 = PAGE_BYTES - BLOCK_HEADER_BYTES;

/// The most memory that a range bitmap behind the registers covers.
pub(crate) const MAXIMUM_CAPACITY_BYTES: u64 =
    (REGISTER_PAGE_END - INSTANCE_REGISTERS_BYTES) * 8 * RANGE_BYTES;

/// Longest instance whose length is a multiple of a page and fits 16 bits.
const MAXIMUM_INSTANCE_LENGTH: u64 = 0xf000;

/// The longest hotlist that lies inside its instance.
pub(crate) const MAXIMUM_NEAR_ENTRIES: u16 = 7168;
const _: () =
    assert!(PAGE_BYTES + MAXIMUM_NEAR_ENTRIES as u64 * ENTRY_BYTES == MAXIMUM_INSTANCE_LENGTH);

/// Where the parts of a block lie.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Bytes from one instance to the next.
    pub(crate) instance_length: u16,
    /// The range bitmap, from the start of its instance; whole 64-bit words.
    pub(crate) range_bitmap: Range<u64>,
    /// The hotlist of each instance, from the start of the block.
    pub(crate) hotlists: Vec<Range<u64>>,
    /// Bytes of the block, a multiple of a page.
    pub(crate) size_bytes: u64,
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "at most 255 instances of at most 512 KiB each, and a capacity that was checked"
)]
impl Layout {
    /// Places instances with these numbers of hotlist entries, at most 255 of them, that track
    /// `capacity_bytes` of memory, at most [`MAXIMUM_CAPACITY_BYTES`].
    pub(crate) fn new(capacity_bytes: u64, hotlist_entries: &[u16]) -> Self {
        let pages = |entries: u16| (u64::from(entries) * ENTRY_BYTES).next_multiple_of(PAGE_BYTES);
        let near = |entries: u16| entries <= MAXIMUM_NEAR_ENTRIES;
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
                instance_offset(index, instance_length) + REGISTER_PAGE_END
            } else {
                end
            };
            let area = start..start + pages(entries);
            end = end.max(area.end);
            hotlists.push(area);
        }
        let bitmap_words = capacity_bytes
            .div_ceil(RANGE_BYTES)
            .div_ceil(u64::BITS.into());
        Self {
            instance_length,
            range_bitmap: REGISTER_PAGE_END - bitmap_words * 8..REGISTER_PAGE_END,
            hotlists,
            size_bytes: end,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPACITY_BYTES: u64 = 1 << 30;

    #[test]
    fn a_small_hotlist_lies_inside_its_instance() {
        let layout = Layout::new(CAPACITY_BYTES, &[1024, 1024]);
        assert_eq!(layout.instance_length, 0x3000);
        assert_eq!(layout.range_bitmap, 0xfe8..0xff0);
        assert_eq!(layout.hotlists, [0x1000..0x3000, 0x4000..0x6000]);
        assert_eq!(layout.size_bytes, 0x7000);
    }

    #[test]
    fn a_large_hotlist_lies_behind_all_instances() {
        let layout = Layout::new(CAPACITY_BYTES, &[65535, 512]);
        assert_eq!(layout.instance_length, 0x2000);
        assert_eq!(layout.hotlists, [0x5000..0x8_5000, 0x3000..0x4000]);
        assert_eq!(layout.size_bytes, 0x8_5000);
    }

    #[test]
    fn the_longest_near_hotlist_makes_the_longest_instance() {
        let near = Layout::new(CAPACITY_BYTES, &[MAXIMUM_NEAR_ENTRIES]);
        assert_eq!(near.instance_length, 0xf000);
        assert_eq!(near.hotlists.first(), Some(&(0x1000..0xf000)));
        let far = Layout::new(CAPACITY_BYTES, &[MAXIMUM_NEAR_ENTRIES + 1]);
        assert_eq!(far.instance_length, 0x1000);
        assert!(far.hotlists[0].start >= 0x1010);
    }

    #[test]
    fn the_longest_range_bitmap_starts_behind_the_registers() {
        let layout = Layout::new(MAXIMUM_CAPACITY_BYTES, &[16]);
        assert_eq!(layout.range_bitmap, 0x70..0xff0);
    }

    proptest! {
        #[test]
        fn nothing_overlaps(
            capacity_bytes in 1..=MAXIMUM_CAPACITY_BYTES,
            entries in proptest::collection::vec(2_u16.., 1..=64),
        ) {
            let layout = Layout::new(capacity_bytes, &entries);
            prop_assert!(layout.instance_length.is_multiple_of(0x1000));
            let mut areas = layout.hotlists.clone();
            for index in 0..entries.len() {
                let start = 0x10 + index as u64 * u64::from(layout.instance_length);
                areas.push(start..start + 0x70);
                let bitmap = &layout.range_bitmap;
                areas.push(start + bitmap.start..start + bitmap.end);
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

        #[test]
        fn the_range_bitmap_fits_the_memory_and_ends_at_a_near_hotlist(
            capacity_bytes in 1..=MAXIMUM_CAPACITY_BYTES,
            entries in proptest::collection::vec(2_u16..=MAXIMUM_NEAR_ENTRIES, 1..=8),
        ) {
            let layout = Layout::new(capacity_bytes, &entries);
            let bits = (layout.range_bitmap.end - layout.range_bitmap.start) * 8;
            prop_assert!(layout.range_bitmap.start.is_multiple_of(8));
            prop_assert!(bits * RANGE_BYTES >= capacity_bytes);
            prop_assert!((bits - 64) * RANGE_BYTES < capacity_bytes);
            for (index, hotlist) in (0_u64..).zip(&layout.hotlists) {
                let start = 0x10 + index * u64::from(layout.instance_length);
                prop_assert_eq!(start + layout.range_bitmap.end, hotlist.start);
                prop_assert!(hotlist.end <= start + u64::from(layout.instance_length));
            }
        }
    }
}
