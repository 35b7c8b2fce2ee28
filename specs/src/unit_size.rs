// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Size of the units that a CHMU counts.

use std::fmt;
use std::str::FromStr;

use crate::address::{Dpa, UnitIndex};

/// Smallest unit, as log2 of its bytes: 256 B.
const MINIMUM_LOG2_BYTES: u8 = 8;

/// Largest unit, as log2 of its bytes: 2 GiB.
const MAXIMUM_LOG2_BYTES: u8 = 31;

/// Size of a tracked unit: a power of two from 256 B to 2 GiB (chmu-registers, offset 0x08).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitSize {
    log2_bytes: u8,
}

impl UnitSize {
    /// 256 B, the smallest.
    pub const MINIMUM: Self = Self {
        log2_bytes: MINIMUM_LOG2_BYTES,
    };
    /// 4 KiB, a base page of x86.
    pub const BASE_PAGE: Self = Self { log2_bytes: 12 };
    /// 2 GiB, the largest.
    pub const MAXIMUM: Self = Self {
        log2_bytes: MAXIMUM_LOG2_BYTES,
    };

    /// The unit of 2^`log2_bytes` bytes; none outside 8 to 31.
    pub const fn from_log2_bytes(log2_bytes: u32) -> Option<Self> {
        let mut candidate = MINIMUM_LOG2_BYTES;
        while candidate <= MAXIMUM_LOG2_BYTES {
            if candidate as u32 == log2_bytes {
                return Some(Self {
                    log2_bytes: candidate,
                });
            }
            candidate += 1;
        }
        None
    }

    /// The unit of `bytes` bytes; none unless a power of two from 256 B to 2 GiB.
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        if bytes.is_power_of_two() {
            Self::from_log2_bytes(bytes.trailing_zeros())
        } else {
            None
        }
    }

    /// log2 of the size in bytes: 8 to 31. The configuration register holds this form.
    pub const fn log2_bytes(self) -> u8 {
        self.log2_bytes
    }

    /// The size in bytes, a power of two from 256 to 2^31.
    pub const fn bytes(self) -> u64 {
        1 << self.log2_bytes
    }

    /// The unit that holds an address.
    pub const fn index_of(self, address: Dpa) -> UnitIndex {
        UnitIndex(address.0 >> self.log2_bytes)
    }

    /// The first address of a unit; none when it lies beyond 64 bits.
    pub const fn start_of(self, unit: UnitIndex) -> Option<Dpa> {
        if unit.0 >> (u64::BITS - self.log2_bytes as u32) == 0 {
            Some(Dpa(unit.0 << self.log2_bytes))
        } else {
            None
        }
    }

    /// Its bit in the capability register: bit n stands for 2^n x 256 B.
    const fn capability_bit(self) -> u32 {
        1 << (self.log2_bytes - MINIMUM_LOG2_BYTES)
    }

    /// All sizes that the register map defines, smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (MINIMUM_LOG2_BYTES..=MAXIMUM_LOG2_BYTES).map(|log2_bytes| Self { log2_bytes })
    }
}

impl fmt::Display for UnitSize {
    /// Prints the size as `256B`, `4K`, `2M` or `1G`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.log2_bytes {
            log2 @ 30.. => write!(f, "{}G", 1 << (log2 - 30)),
            log2 @ 20.. => write!(f, "{}M", 1 << (log2 - 20)),
            log2 @ 10.. => write!(f, "{}K", 1 << (log2 - 10)),
            log2 => write!(f, "{}B", 1 << log2),
        }
    }
}

/// A text that names no unit size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no unit size; write a power of two from 256B to 2G, such as 4K or 2M")]
pub struct UnitSizeError(String);

impl FromStr for UnitSize {
    type Err = UnitSizeError;

    fn from_str(text: &str) -> Result<Self, UnitSizeError> {
        Self::all()
            .find(|size| {
                let name = size.to_string();
                name.eq_ignore_ascii_case(text) || size.bytes().to_string() == text
            })
            .ok_or_else(|| UnitSizeError(text.to_owned()))
    }
}

/// The set of unit sizes that a device supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct UnitSizes(u32);

impl UnitSizes {
    /// Bits that the register map defines.
    const DEFINED: u32 = (1 << (MAXIMUM_LOG2_BYTES - MINIMUM_LOG2_BYTES + 1)) - 1;

    /// The set in its register form; undefined bits are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::DEFINED)
    }

    /// The register form: bit n stands for 2^n x 256 B.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `size` is in the set.
    pub const fn contains(self, size: UnitSize) -> bool {
        self.0 & size.capability_bit() != 0
    }

    /// The sizes of the set, smallest first.
    pub fn iter(self) -> impl Iterator<Item = UnitSize> {
        UnitSize::all().filter(move |size| self.contains(*size))
    }
}

impl FromIterator<UnitSize> for UnitSizes {
    fn from_iter<I: IntoIterator<Item = UnitSize>>(sizes: I) -> Self {
        Self(
            sizes
                .into_iter()
                .fold(0, |bits, size| bits | size.capability_bit()),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_bytes_parse_back() {
        for size in UnitSize::all() {
            assert_eq!(size.to_string().parse(), Ok(size));
            assert_eq!(size.to_string().to_lowercase().parse(), Ok(size));
            assert_eq!(size.bytes().to_string().parse(), Ok(size));
        }
        assert_eq!(UnitSize::BASE_PAGE.to_string(), "4K");
        assert_eq!(
            "3K".parse::<UnitSize>().unwrap_err().to_string(),
            "\"3K\" is no unit size; write a power of two from 256B to 2G, such as 4K or 2M"
        );
    }

    #[test]
    fn capability_bits_count_from_256_bytes() {
        let sizes: UnitSizes = [UnitSize::MINIMUM, UnitSize::BASE_PAGE, UnitSize::MAXIMUM]
            .into_iter()
            .collect();
        assert_eq!(sizes.bits(), 1 | 1 << 4 | 1 << 23);
        assert_eq!(UnitSizes::from_bits(u32::MAX).bits(), 0x00ff_ffff);
    }

    proptest! {
        #[test]
        fn a_unit_holds_its_addresses(log2_bytes in 8_u32..=31, address: u64) {
            let size = UnitSize::from_log2_bytes(log2_bytes).unwrap();
            let unit = size.index_of(Dpa(address));
            prop_assert_eq!(unit.0, address / size.bytes());
            let start = size.start_of(unit).unwrap();
            prop_assert!(start.0 <= address && address - start.0 < size.bytes());
        }

        #[test]
        fn units_beyond_64_bits_have_no_start(log2_bytes in 8_u32..=31, unit: u64) {
            let size = UnitSize::from_log2_bytes(log2_bytes).unwrap();
            let naive = unit.checked_mul(size.bytes()).map(Dpa);
            prop_assert_eq!(size.start_of(UnitIndex(unit)), naive);
        }
    }
}
