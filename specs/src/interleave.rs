// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Host physical to device physical addresses and back.
//!
//! An interleave set spreads a window of host physical addresses over `ways` devices: granule
//! number n belongs to the device at position n mod ways (CXL r3.1, 8.2.4.20.13; Linux:
//! `drivers/cxl/core/region.c`). Powers of two and the multiples of three follow the same rule.

use crate::address::{Dpa, Hpa, HpaRange};

/// Interleave ways with their register codes.
const WAYS: [(u8, u8); 8] = [
    (1, 0),
    (2, 1),
    (4, 2),
    (8, 3),
    (16, 4),
    (3, 8),
    (6, 9),
    (12, 10),
];

/// Smallest granularity in bytes; code n stands for this times 2^n.
const MINIMUM_GRANULARITY_BYTES: u32 = 256;

/// Code of the largest granularity, 16 KiB.
const MAXIMUM_GRANULARITY_CODE: u8 = 6;

/// How a window of host physical addresses is spread over devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interleave {
    ways: u8,
    granularity_bytes: u32,
}

impl Interleave {
    /// No interleaving: one device owns the whole window.
    pub const NONE: Self = Self {
        ways: 1,
        granularity_bytes: MINIMUM_GRANULARITY_BYTES,
    };

    /// An interleave of 1, 2, 3, 4, 6, 8, 12 or 16 ways with a granularity of 256 B to 16 KiB, a
    /// power of two; none for anything else.
    pub fn new(ways: u8, granularity_bytes: u32) -> Option<Self> {
        let candidate = Self {
            ways,
            granularity_bytes,
        };
        let known_ways = WAYS.iter().any(|(known, _)| *known == ways);
        let known_granularity = (0..=MAXIMUM_GRANULARITY_CODE)
            .any(|code| MINIMUM_GRANULARITY_BYTES << code == granularity_bytes);
        (known_ways && known_granularity).then_some(candidate)
    }

    /// The interleave with register codes for ways and granularity; none for reserved codes.
    pub fn from_codes(ways_code: u8, granularity_code: u8) -> Option<Self> {
        if granularity_code > MAXIMUM_GRANULARITY_CODE {
            return None;
        }
        let (ways, _) = WAYS.iter().find(|(_, code)| *code == ways_code)?;
        Self::new(*ways, MINIMUM_GRANULARITY_BYTES << granularity_code)
    }

    /// Number of devices that share the window, 1 to 16.
    pub const fn ways(self) -> u8 {
        self.ways
    }

    /// Bytes that one device owns in a row.
    pub const fn granularity_bytes(self) -> u32 {
        self.granularity_bytes
    }

    /// The register code of the ways.
    pub fn ways_code(self) -> u8 {
        let known = WAYS.iter().find(|(ways, _)| *ways == self.ways);
        known.map_or(0, |(_, code)| *code)
    }

    /// The register code of the granularity.
    pub fn granularity_code(self) -> u8 {
        let codes = 0..MAXIMUM_GRANULARITY_CODE;
        codes
            .into_iter()
            .find(|code| MINIMUM_GRANULARITY_BYTES << code == self.granularity_bytes)
            .unwrap_or(MAXIMUM_GRANULARITY_CODE)
    }

    /// Which device owns the byte `hpa_offset` bytes into the window, and where in that device's
    /// share it lies.
    pub const fn split(self, hpa_offset: u64) -> Share {
        let granularity = self.granularity_bytes as u64;
        let granularity_log2 = self.granularity_bytes.trailing_zeros();
        let granule = hpa_offset >> granularity_log2;
        // The ways are a power of two, or three times one. A division by the ways as such would
        // take longer than all else that is done with an access.
        let row = granule >> self.ways.trailing_zeros();
        let row = if self.ways.is_power_of_two() {
            row
        } else {
            row / 3
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a remainder is below the ways, at most 16"
        )]
        let position = (granule - row * self.ways as u64) as u8;
        Share {
            position,
            dpa_offset: (row << granularity_log2) + (hpa_offset & (granularity - 1)),
        }
    }

    /// How many bytes into the window the byte lies that a device owns; none when the position
    /// is not below the ways or the offset leaves 64 bits.
    pub fn join(self, share: Share) -> Option<u64> {
        if share.position >= self.ways {
            return None;
        }
        let granularity = u64::from(self.granularity_bytes);
        (share.dpa_offset / granularity)
            .checked_mul(self.ways.into())?
            .checked_add(share.position.into())?
            .checked_mul(granularity)?
            .checked_add(share.dpa_offset % granularity)
    }
}

/// A byte of one device's share of an interleaved window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Share {
    /// Which device of the interleave set, from 0.
    pub position: u8,
    /// Bytes from the start of that device's share.
    pub dpa_offset: u64,
}

/// What one committed HDM decoder of a device decodes: host physical addresses and the device's
/// memory behind them. Who only needs the addresses takes its [`DecoderWindow::range`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecoderWindow {
    /// First host physical address.
    pub base: Hpa,
    /// Bytes of host physical addresses, of all ways together.
    pub size_bytes: u64,
    /// How the window is spread over devices.
    pub interleave: Interleave,
    /// The device's position in the interleave set.
    pub position: u8,
    /// Device physical address of the device's share of the window.
    pub dpa_base: Dpa,
}

impl DecoderWindow {
    /// The host physical addresses, those of the other devices of the interleave set among them.
    pub const fn range(&self) -> HpaRange {
        HpaRange {
            start: self.base,
            bytes: self.size_bytes,
        }
    }

    /// Bytes of the device's share of the window.
    pub const fn dpa_bytes(&self) -> u64 {
        self.size_bytes / self.interleave.ways as u64
    }

    /// The device physical address behind a host physical one; none when the window does not
    /// contain it or another device owns it.
    pub fn dpa(&self, hpa: Hpa) -> Option<Dpa> {
        let hpa_offset = hpa.0.checked_sub(self.base.0)?;
        if hpa_offset >= self.size_bytes {
            return None;
        }
        let dpa_offset = if self.interleave.ways == 1 {
            hpa_offset
        } else {
            let share = self.interleave.split(hpa_offset);
            if share.position != self.position {
                return None;
            }
            share.dpa_offset
        };
        Some(Dpa(self.dpa_base.0.checked_add(dpa_offset)?))
    }

    /// The host physical address in front of a device physical one; none when the device's share
    /// does not contain it.
    pub fn hpa(&self, dpa: Dpa) -> Option<Hpa> {
        let dpa_offset = dpa.0.checked_sub(self.dpa_base.0)?;
        if dpa_offset >= self.dpa_bytes() {
            return None;
        }
        let hpa_offset = self.interleave.join(Share {
            position: self.position,
            dpa_offset,
        })?;
        Some(Hpa(self.base.0.checked_add(hpa_offset)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interleaves() -> impl Strategy<Value = Interleave> {
        let ways = proptest::sample::select(vec![1_u8, 2, 3, 4, 6, 8, 12, 16]);
        let granularities =
            proptest::sample::select(vec![256_u32, 512, 1024, 2048, 4096, 8192, 16384]);
        (ways, granularities)
            .prop_map(|(ways, granularity)| Interleave::new(ways, granularity).unwrap())
    }

    /// Walks over the window byte by byte and deals the bytes out, a granule to each in turn.
    fn naive_split(interleave: Interleave, hpa_offset: u64) -> Share {
        let mut dealt = vec![0_u64; interleave.ways().into()];
        let mut position = 0;
        let mut left_of_granule = interleave.granularity_bytes();
        for _ in 0..hpa_offset {
            dealt[position] += 1;
            left_of_granule -= 1;
            if left_of_granule == 0 {
                left_of_granule = interleave.granularity_bytes();
                position = (position + 1) % dealt.len();
            }
        }
        Share {
            position: u8::try_from(position).unwrap(),
            dpa_offset: dealt[position],
        }
    }

    proptest! {
        #[test]
        fn splitting_equals_dealing_bytes_out(
            interleave in interleaves(),
            hpa_offset in 0_u64..0x4_0000,
        ) {
            prop_assert_eq!(interleave.split(hpa_offset), naive_split(interleave, hpa_offset));
        }

        #[test]
        fn joining_undoes_splitting(interleave in interleaves(), hpa_offset: u64) {
            prop_assert_eq!(interleave.join(interleave.split(hpa_offset)), Some(hpa_offset));
        }

        #[test]
        fn splitting_undoes_joining(
            interleave in interleaves(),
            position in 0_u8..16,
            dpa_offset in 0_u64..1 << 59,
        ) {
            let share = Share { position, dpa_offset };
            let joined = interleave.join(share);
            prop_assert_eq!(joined.is_some(), position < interleave.ways());
            if let Some(hpa_offset) = joined {
                prop_assert_eq!(interleave.split(hpa_offset), share);
            }
        }

        #[test]
        fn windows_translate_both_ways(
            interleave in interleaves(),
            position in 0_u8..16,
            offset in 0_u64..0x1000_0000,
        ) {
            let window = DecoderWindow {
                base: Hpa(0x1_4000_0000),
                size_bytes: 0x1000_0000 * u64::from(interleave.ways()),
                interleave,
                position: position % interleave.ways(),
                dpa_base: Dpa(0x2000_0000),
            };
            let dpa = Dpa(window.dpa_base.0 + offset);
            let hpa = window.hpa(dpa).unwrap();
            prop_assert!(hpa >= window.base && hpa.0 < window.base.0 + window.size_bytes);
            prop_assert_eq!(window.dpa(hpa), Some(dpa));
        }
    }

    #[test]
    fn every_byte_of_a_window_has_one_owner() {
        for ways in [1, 2, 3, 4, 6, 8, 12, 16] {
            let interleave = Interleave::new(ways, 256).unwrap();
            let size_bytes = 256 * 5 * u64::from(ways);
            let mut seen = vec![false; usize::try_from(size_bytes).unwrap()];
            for position in 0..ways {
                for dpa_offset in 0..256 * 5 {
                    let hpa_offset = interleave
                        .join(Share {
                            position,
                            dpa_offset,
                        })
                        .unwrap();
                    let owned = &mut seen[usize::try_from(hpa_offset).unwrap()];
                    assert!(!*owned, "{ways} ways, byte {hpa_offset:#x}");
                    *owned = true;
                }
            }
            assert!(seen.into_iter().all(|owned| owned), "{ways} ways");
        }
    }

    #[test]
    fn codes_equal_a_hand_transcription() {
        let ways = [
            (1, 0),
            (2, 1),
            (4, 2),
            (8, 3),
            (16, 4),
            (3, 8),
            (6, 9),
            (12, 10),
        ];
        for (ways, code) in ways {
            let interleave = Interleave::new(ways, 4096).unwrap();
            assert_eq!(
                (interleave.ways_code(), interleave.granularity_code()),
                (code, 4)
            );
            assert_eq!(Interleave::from_codes(code, 4), Some(interleave));
        }
        for (granularity, code) in [(256, 0), (1024, 2), (16384, 6)] {
            assert_eq!(
                Interleave::new(1, granularity).unwrap().granularity_code(),
                code
            );
        }
        for (ways, granularity) in [
            (0, 256),
            (5, 256),
            (32, 256),
            (1, 128),
            (1, 384),
            (1, 32768),
        ] {
            assert_eq!(Interleave::new(ways, granularity), None);
        }
        for (ways, granularity) in [(5, 0), (7, 0), (11, 0), (255, 0), (0, 7), (0, 255)] {
            assert_eq!(Interleave::from_codes(ways, granularity), None);
        }
    }

    #[test]
    fn windows_end_where_they_should() {
        let window = DecoderWindow {
            base: Hpa(0x1_0000_0000),
            size_bytes: 0x1000_0000,
            interleave: Interleave::NONE,
            position: 0,
            dpa_base: Dpa(0),
        };
        assert_eq!(window.dpa(Hpa(0xffff_ffff)), None);
        assert_eq!(window.dpa(Hpa(0x1_0fff_ffff)), Some(Dpa(0x0fff_ffff)));
        assert_eq!(window.dpa(Hpa(0x1_1000_0000)), None);
        assert_eq!(window.hpa(Dpa(0x1000_0000)), None);
    }
}
