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
        fn a_window_contains_what_lies_between_its_ends(
            (base, size, address) in windows_and_addresses(),
        ) {
            let inside = u128::from(address) >= u128::from(base)
                && u128::from(address) < u128::from(base) + u128::from(size);
            prop_assert_eq!(Window { base, size }.contains(Hpa(address)), inside);
        }
    }

    /// A window that ends inside the address space, as [`Window::is_valid`] demands, and an address
    /// that lies anywhere, or at most a byte past one of its ends.
    fn windows_and_addresses() -> impl Strategy<Value = (u64, u64, u64)> {
        any::<u64>()
            .prop_flat_map(|base| (Just(base), 0..=u64::MAX - base))
            .prop_flat_map(|(base, size)| {
                let near = prop_oneof![Just(base), Just(base + size)];
                let near = (near, -1..=1_i64).prop_map(|(end, by)| end.wrapping_add_signed(by));
                let inside = base..=base + size;
                (
                    Just(base),
                    Just(size),
                    prop_oneof![any::<u64>(), near, inside],
                )
            })
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
