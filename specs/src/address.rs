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

/// An address of a byte of physical memory, whoever counts it.
pub trait PhysicalAddress: Copy {
    /// The address as a number of bytes.
    fn bytes(self) -> u64;

    /// The address that is so many bytes.
    fn from_bytes(bytes: u64) -> Self;
}

macro_rules! physical_address {
    ($name:ident) => {
        impl PhysicalAddress for $name {
            #[inline]
            fn bytes(self) -> u64 {
                self.0
            }

            #[inline]
            fn from_bytes(bytes: u64) -> Self {
                Self(bytes)
            }
        }
    };
}

physical_address!(Hpa);
physical_address!(Dpa);

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

/// A run of host physical addresses, such as a node's memory or what a decoder decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HpaRange {
    /// The first byte's address.
    pub start: Hpa,
    /// Number of bytes; 0 for an empty range.
    pub bytes: u64,
}

impl HpaRange {
    /// The address after the last byte's; the last address of all for a range that leaves 64 bits.
    pub const fn end(self) -> Hpa {
        Hpa(self.start.0.saturating_add(self.bytes))
    }

    /// The page frames that hold any of the bytes, ascending.
    pub fn pages(self) -> impl Iterator<Item = Pfn> {
        let end = self.end().0.div_ceil(1 << BASE_PAGE_SHIFT);
        let first = self.start.pfn().0;
        (first..if self.bytes == 0 { first } else { end }).map(Pfn)
    }
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

    #[test]
    fn a_range_touches_the_pages_of_its_bytes() {
        let pages = |start, bytes| -> Vec<u64> {
            let range = HpaRange {
                start: Hpa(start),
                bytes,
            };
            range.pages().map(|page| page.0).collect()
        };
        assert_eq!(pages(0x3000, 0x2000), [3, 4]);
        assert_eq!(pages(0x3fff, 2), [3, 4]);
        assert_eq!(pages(0x3fff, 1), [3]);
        assert_eq!(pages(0x3800, 0), []);
        assert_eq!(pages(u64::MAX - 1, 9), [(1 << 52) - 1]);
    }
}
