// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Host writes as parts of aligned 64-bit words.

use chmu_spec::native::to_usize;
use chmu_spec::word::WORD_BYTES;

/// A write of 1, 2, 4 or 8 aligned bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WordWrite {
    /// Offset of the word that holds the bytes: a multiple of 8.
    pub(crate) word: u64,
    /// The bytes at their place in the word; 0 elsewhere.
    pub(crate) value: u64,
    /// The bits that are written.
    pub(crate) lanes: u64,
}

impl WordWrite {
    /// The write of `data`, 8 bytes at most, at a multiple of its length.
    pub(crate) fn new(offset: u64, data: &[u8]) -> Self {
        let mut value = [0; 8];
        let mut lanes = [0; 8];
        let skipped = to_usize(offset % WORD_BYTES);
        let places = value.iter_mut().zip(&mut lanes).skip(skipped);
        for ((value, lane), byte) in places.zip(data) {
            *value = *byte;
            *lane = u8::MAX;
        }
        Self {
            word: offset.saturating_sub(offset % WORD_BYTES),
            value: u64::from_le_bytes(value),
            lanes: u64::from_le_bytes(lanes),
        }
    }

    /// Whether it writes to the word at this offset.
    pub(crate) fn touches(self, word: u64) -> bool {
        self.word == word
    }

    /// The part that falls on a register of this word: its value and lanes, as the register
    /// numbers its bits.
    pub(crate) fn part(self, offset: u64, width: u8) -> (u64, u64) {
        let shift = u32::try_from(offset.saturating_sub(self.word).saturating_mul(8)).unwrap_or(64);
        let mask = u64::MAX
            .checked_shr(u64::BITS.saturating_sub(u32::from(width)))
            .unwrap_or(0);
        let cut = |word: u64| word.checked_shr(shift).unwrap_or(0) & mask;
        (cut(self.value), cut(self.lanes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn writes_put_bytes_in_their_place(shift in 0_u32..=3, slot in 0_u64..16, value: u64) {
            let bytes = 1_usize << shift;
            let offset = slot * bytes as u64;
            let data = &value.to_le_bytes()[..bytes];
            let write = WordWrite::new(offset, data);
            prop_assert_eq!(write.word, offset / 8 * 8);
            let inside = usize::try_from(offset % 8).unwrap();
            for index in 0..8 {
                let written = (inside..inside + bytes).contains(&index);
                let expected = if written { data[index - inside] } else { 0 };
                prop_assert_eq!(write.value.to_le_bytes()[index], expected);
                prop_assert_eq!(write.lanes.to_le_bytes()[index], if written { 0xff } else { 0 });
            }
        }
    }

    #[test]
    fn a_part_has_the_register_at_bit_0() {
        let write = WordWrite::new(0x68, &0x1122_3344_u32.to_le_bytes());
        assert_eq!(write.part(0x68, 16), (0x3344, 0xffff));
        assert_eq!(write.part(0x6a, 16), (0x1122, 0xffff));
        assert_eq!(write.part(0x6c, 16), (0, 0));
        let write = WordWrite::new(0x6a, &[0x55, 0x66]);
        assert_eq!(write.part(0x68, 16), (0, 0));
        assert_eq!(write.part(0x6a, 16), (0x6655, 0xffff));
    }

    #[test]
    fn the_end_of_the_address_space_is_no_trouble() {
        assert_eq!(WordWrite::new(u64::MAX, &[7]).word, u64::MAX - 7);
    }
}
