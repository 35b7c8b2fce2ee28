// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Address newtypes: a host physical address is never passed where a device physical one is meant.

use std::fmt;

/// log2 of the bytes of a page frame.
const BASE_PAGE_SHIFT: u32 = 12;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// Host physical address in bytes (for a guest: its own physical address).
    Hpa
}
address! {
    /// Device physical address in bytes, from 0 to the device's capacity.
    Dpa
}
address! {
    /// Number of a tracked unit: device physical address divided by the unit size.
    UnitIndex
}
impl Hpa {
    /// The page frame that holds the address.
    pub const fn pfn(self) -> Pfn {
        Pfn(self.0 >> BASE_PAGE_SHIFT)
    }
}

impl Pfn {
    /// The address of the page frame's first byte; none beyond 64 bits.
    pub const fn start(self) -> Option<Hpa> {
        if self.0 >> (u64::BITS - BASE_PAGE_SHIFT) == 0 {
            Some(Hpa(self.0 << BASE_PAGE_SHIFT))
        } else {
            None
        }
    }
}

address! {
    /// Page frame number: host physical address divided by 4096.
    Pfn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_in_hex() {
        assert_eq!(Hpa(0x1_0000_0000).to_string(), "0x100000000");
        assert_eq!(Pfn(16).to_string(), "0x10");
    }

    #[test]
    fn page_frames_are_4_kib() {
        assert_eq!(Hpa(0x1_0000_0fff).pfn(), Pfn(0x10_0000));
        assert_eq!(Pfn(0x10_0000).start(), Some(Hpa(0x1_0000_0000)));
        assert_eq!(Pfn(1 << 52).start(), None);
    }
}
