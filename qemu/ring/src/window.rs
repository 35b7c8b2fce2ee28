// SPDX-License-Identifier: BSD-3-Clause
//! The address windows that records are about.

use std::fmt;

use chmu_spec::address::Hpa;

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
    /// Whether `address` lies in the window.
    #[inline]
    pub const fn contains(&self, address: Hpa) -> bool {
        address.0.wrapping_sub(self.base) < self.size
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
        fn a_window_contains_what_lies_between_its_ends(base: u64, size: u64, address: u64) {
            let window = Window { base, size };
            let inside = u128::from(address) >= u128::from(base)
                && u128::from(address) < u128::from(base) + u128::from(size);
            // Past the end of the address space a window is refused, see `is_valid`.
            prop_assume!(base.checked_add(size).is_some());
            prop_assert_eq!(window.contains(Hpa(address)), inside);
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
