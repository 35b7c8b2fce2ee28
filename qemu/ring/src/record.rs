// SPDX-License-Identifier: BSD-3-Clause
//! What travels through a ring, and the address windows it is about.

use std::fmt;

/// Bytes of the cache line that a record names.
pub const LINE_BYTES: u64 = 64;

const WRITE_BIT: u64 = 1;
const RESERVED_BITS: u64 = (LINE_BYTES - 1) & !WRITE_BIT;

/// One access of the host to one 64-byte line.
///
/// Bits 63:6 hold the line's host physical address, bit 0 is set for a write, and bits 5:1 are
/// reserved and zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record(u64);

impl Record {
    /// A read of the line that holds host physical address `address`.
    #[inline]
    pub const fn read(address: u64) -> Self {
        Self(address & !(LINE_BYTES - 1))
    }

    /// A write of the line that holds host physical address `address`.
    #[inline]
    pub const fn write(address: u64) -> Self {
        Self(Self::read(address).0 | WRITE_BIT)
    }

    /// Host physical address of the line's first byte.
    #[inline]
    pub const fn line_address(self) -> u64 {
        self.0 & !(LINE_BYTES - 1)
    }

    /// Whether the line was written.
    #[inline]
    pub const fn is_write(self) -> bool {
        self.0 & WRITE_BIT != 0
    }

    /// The record as it lies in shared memory.
    #[inline]
    pub(crate) const fn to_word(self) -> u64 {
        self.0
    }

    /// The record in a word of shared memory, or `None` when reserved bits are set.
    #[inline]
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        if word & RESERVED_BITS == 0 {
            Some(Self(word))
        } else {
            None
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_write() { "write" } else { "read" };
        write!(f, "{kind} {:#x}", self.line_address())
    }
}

/// A range of host physical addresses whose accesses the consumer asks for, as the shared memory
/// carries it: page aligned and not empty, without a word on who decodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Host physical address of the first byte; a multiple of 4 KiB.
    pub base: u64,
    /// Size in bytes; a multiple of 4 KiB, not zero.
    pub size: u64,
}

impl Window {
    /// Whether host physical address `address` lies in the window.
    #[inline]
    pub const fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.base) < self.size
    }

    /// Whether the window is page aligned, not empty, and ends inside the 64-bit address space.
    pub(crate) const fn is_valid(&self) -> bool {
        self.size != 0
            && self.base.is_multiple_of(4096)
            && self.size.is_multiple_of(4096)
            && self.base.checked_add(self.size).is_some()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "base {:#x}, size {:#x}", self.base, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_keeps_its_line_and_kind(address: u64, write: bool) {
            let record = if write { Record::write(address) } else { Record::read(address) };
            prop_assert_eq!(record.line_address(), address / 64 * 64);
            prop_assert_eq!(record.is_write(), write);
            prop_assert_eq!(Record::from_word(record.to_word()), Some(record));
        }

        #[test]
        fn a_word_with_reserved_bits_is_no_record(word: u64) {
            prop_assert_eq!(Record::from_word(word).is_none(), word % 64 > 1);
        }

        #[test]
        fn a_window_contains_what_lies_between_its_ends(base: u64, size: u64, address: u64) {
            let window = Window { base, size };
            let inside = u128::from(address) >= u128::from(base)
                && u128::from(address) < u128::from(base) + u128::from(size);
            // Past the end of the address space a window is refused, see `is_valid`.
            prop_assume!(base.checked_add(size).is_some());
            prop_assert_eq!(window.contains(address), inside);
        }
    }

    #[test]
    fn windows_that_are_unaligned_empty_or_too_far_are_refused() {
        let valid = |base, size| Window { base, size }.is_valid();
        assert!(valid(0x1_0000_0000, 0x4000_0000));
        assert!(!valid(0x1_0000_0000, 0));
        assert!(!valid(0x1_0000_0040, 4096));
        assert!(!valid(0x1_0000_0000, 4097));
        assert!(!valid(u64::MAX - 4095, 8192));
    }
}
