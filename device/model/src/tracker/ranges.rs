// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which parts of the device's memory an instance tracks.

use chmu_spec::address::Dpa;
use chmu_spec::chmu::RANGE_BYTES;

/// log2 of the bytes that a bit stands for.
const RANGE_SHIFT: u32 = RANGE_BYTES.trailing_zeros();

/// One bit for each 256 MiB of device physical address space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeBitmap {
    words: Vec<u64>,
}

impl RangeBitmap {
    /// A clear bitmap for `capacity_bytes` of memory.
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        let words = capacity_bytes.div_ceil(RANGE_BYTES).div_ceil(64);
        Self {
            words: vec![0; usize::try_from(words).unwrap_or(usize::MAX)],
        }
    }

    /// Bytes of the bitmap: a multiple of 8.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(size_of_val(self.words.as_slice())).unwrap_or(u64::MAX)
    }

    /// The word `index`; 0 beyond the end.
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    /// Sets the bits of `lanes` in word `index` to those of `value`.
    pub(crate) fn set_word(&mut self, index: usize, value: u64, lanes: u64) {
        if let Some(word) = self.words.get_mut(index) {
            *word = (*word & !lanes) | (value & lanes);
        }
    }

    /// Clears all bits.
    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Sets all bits.
    pub(crate) fn fill(&mut self) {
        self.words.fill(u64::MAX);
    }

    /// Whether an address is tracked.
    pub(crate) fn contains(&self, dpa: Dpa) -> bool {
        self.has(dpa.0 >> RANGE_SHIFT)
    }

    /// Whether all of a device's memory is tracked.
    pub(crate) fn covers(&self, capacity_bytes: u64) -> bool {
        let ranges = capacity_bytes.div_ceil(RANGE_BYTES);
        let whole_words = usize::try_from(ranges >> 6).unwrap_or(usize::MAX);
        let whole = self.words.get(..whole_words);
        whole.is_some_and(|words| words.iter().all(|word| *word == u64::MAX))
            && (ranges & !63..ranges).all(|range| self.has(range))
    }

    /// Whether the range with a number is tracked.
    pub(crate) fn has(&self, range: u64) -> bool {
        let index = usize::try_from(range >> 6).unwrap_or(usize::MAX);
        (self.word(index) >> (range & 63)) & 1 == 1
    }

    /// A bitmap of the same size with the ranges for which `tracked` holds.
    pub(crate) fn rearranged(&self, tracked: impl Fn(u64) -> bool) -> Self {
        let mut first = 0_u64;
        let mut words = self.words.clone();
        for word in &mut words {
            let ranges = first..first.saturating_add(64);
            *word = (0_u32..)
                .zip(ranges)
                .filter(|(_, range)| tracked(*range))
                .fold(0, |bits, (bit, _)| bits | 1_u64.wrapping_shl(bit));
            first = first.saturating_add(64);
        }
        Self { words }
    }

    /// Whether both track a part of the same range.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let pairs = self.words.iter().zip(&other.words);
        pairs.into_iter().any(|(one, two)| one & two != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_stands_for_256_mib() {
        let mut ranges = RangeBitmap::new(1 << 40);
        assert_eq!(ranges.bytes(), 512);
        ranges.set_word(1, 1 << 3, u64::MAX);
        let first = (64 + 3) << 28;
        assert!(!ranges.contains(Dpa(first - 1)));
        assert!(ranges.contains(Dpa(first)));
        assert!(ranges.contains(Dpa(first + (1 << 28) - 1)));
        assert!(!ranges.contains(Dpa(first + (1 << 28))));
        assert!(!ranges.contains(Dpa(u64::MAX)));
    }

    #[test]
    fn a_part_of_a_bit_is_enough_for_a_word() {
        assert_eq!(RangeBitmap::new(1).bytes(), 8);
        assert_eq!(RangeBitmap::new(64 << 28).bytes(), 8);
        assert_eq!(RangeBitmap::new((64 << 28) + 1).bytes(), 16);
    }

    #[test]
    fn ranges_are_rearranged_one_by_one() {
        let mut ranges = RangeBitmap::new(1 << 40);
        ranges.set_word(0, 1 << 63, u64::MAX);
        let shifted = ranges.rearranged(|range| range > 0 && ranges.has(range - 1));
        assert_eq!((shifted.word(0), shifted.word(1)), (0, 1));
        assert_eq!(shifted.bytes(), ranges.bytes());
    }

    #[test]
    fn a_device_is_covered_by_the_ranges_that_it_has() {
        let mut ranges = RangeBitmap::new(3 << 28);
        ranges.set_word(0, 0b0111, u64::MAX);
        assert!(ranges.covers(3 << 28));
        assert!(ranges.covers((2 << 28) + 1));
        assert!(!ranges.covers((3 << 28) + 1));
        ranges.set_word(0, 0b0011, u64::MAX);
        assert!(!ranges.covers((2 << 28) + 1));
    }

    #[test]
    fn overlap_needs_a_common_bit() {
        let mut one = RangeBitmap::new(1 << 30);
        let mut two = one.clone();
        one.set_word(0, 0b0110, u64::MAX);
        two.set_word(0, 0b1001, u64::MAX);
        assert!(!one.overlaps(&two));
        two.set_word(0, 0b0010, 0b0010);
        assert_eq!(two.word(0), 0b1011);
        assert!(one.overlaps(&two));
    }
}
