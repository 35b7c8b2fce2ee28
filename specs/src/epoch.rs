// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Epoch lengths: a scale code and a multiplier of 12 bits.

use std::fmt;

/// Largest multiplier that the register's 12 bits hold.
const MAXIMUM_MULTIPLIER: u16 = 0xfff;

/// Unit of an epoch length (chmu-registers, offset 0x00; codes 1 to 5, all others reserved).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EpochScale {
    /// 100 microseconds.
    HundredMicroseconds = 1,
    /// 1 millisecond.
    Millisecond = 2,
    /// 10 milliseconds.
    TenMilliseconds = 3,
    /// 100 milliseconds.
    HundredMilliseconds = 4,
    /// 1 second.
    Second = 5,
}

impl EpochScale {
    /// All scales, the shortest first.
    pub const ALL: [Self; 5] = [
        Self::HundredMicroseconds,
        Self::Millisecond,
        Self::TenMilliseconds,
        Self::HundredMilliseconds,
        Self::Second,
    ];

    /// The scale with a register code; none for reserved codes.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|scale| scale.code() == code)
    }

    /// The code that stands for it in the registers.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// How long an epoch with multiplier 1 takes, in nanoseconds.
    pub const fn nanoseconds(self) -> u64 {
        match self {
            Self::HundredMicroseconds => 100_000,
            Self::Millisecond => 1_000_000,
            Self::TenMilliseconds => 10_000_000,
            Self::HundredMilliseconds => 100_000_000,
            Self::Second => 1_000_000_000,
        }
    }
}

/// Length of an epoch: scale times multiplier, 100 us to 4095 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EpochLength {
    scale: EpochScale,
    multiplier: u16,
}

impl EpochLength {
    /// `multiplier` times `scale`; none unless the multiplier lies in 1 to 4095.
    pub const fn new(scale: EpochScale, multiplier: u16) -> Option<Self> {
        if multiplier == 0 || multiplier > MAXIMUM_MULTIPLIER {
            None
        } else {
            Some(Self { scale, multiplier })
        }
    }

    /// The length in its register form; none for a reserved scale or a multiplier out of range.
    pub fn from_codes(scale: u8, multiplier: u16) -> Option<Self> {
        Self::new(EpochScale::from_code(scale)?, multiplier)
    }

    /// The length of exactly `nanoseconds`, in the smallest scale that reaches it; none when no
    /// scale and multiplier give it.
    pub fn from_nanoseconds(nanoseconds: u64) -> Option<Self> {
        EpochScale::ALL.into_iter().find_map(|scale| {
            let whole = nanoseconds.is_multiple_of(scale.nanoseconds());
            let multiplier = u16::try_from(nanoseconds / scale.nanoseconds()).ok()?;
            Self::new(scale, multiplier).filter(|_| whole)
        })
    }

    /// The scale, whose multiple the length is.
    pub const fn scale(self) -> EpochScale {
        self.scale
    }

    /// The multiplier: 1 to 4095.
    pub const fn multiplier(self) -> u16 {
        self.multiplier
    }

    /// The length in nanoseconds: 100 us to 4095 s.
    pub const fn nanoseconds(self) -> u64 {
        self.scale.nanoseconds() * self.multiplier as u64
    }
}

impl fmt::Display for EpochLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nanoseconds() {
            length if length % 1_000_000_000 == 0 => write!(f, "{}s", length / 1_000_000_000),
            length if length % 1_000_000 == 0 => write!(f, "{}ms", length / 1_000_000),
            length => write!(f, "{}us", length / 1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scales_have_the_lengths_of_the_register_map() {
        let lengths =
            [1, 2, 3, 4, 5].map(|code| EpochScale::from_code(code).unwrap().nanoseconds());
        assert_eq!(
            lengths,
            [100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000]
        );
        for code in [0, 6, 7, 15, 255] {
            assert_eq!(EpochScale::from_code(code), None);
        }
    }

    #[test]
    fn zero_and_wide_multipliers_are_no_lengths() {
        assert_eq!(EpochLength::new(EpochScale::Second, 0), None);
        assert_eq!(EpochLength::new(EpochScale::Second, 4096), None);
        assert_eq!(EpochLength::from_nanoseconds(0), None);
        assert_eq!(EpochLength::from_nanoseconds(150_000), None);
        assert_eq!(EpochLength::from_nanoseconds(4096 * 1_000_000_000), None);
    }

    #[test]
    fn lengths_print_for_people() {
        let length = |nanoseconds| {
            EpochLength::from_nanoseconds(nanoseconds)
                .unwrap()
                .to_string()
        };
        assert_eq!(length(100_000), "100us");
        assert_eq!(length(250_000_000), "250ms");
        assert_eq!(length(10_000_000_000), "10s");
    }

    proptest! {
        #[test]
        fn nanoseconds_lead_back(scale in 1_u8..=5, multiplier in 1_u16..=4095) {
            let length = EpochLength::from_codes(scale, multiplier).unwrap();
            let back = EpochLength::from_nanoseconds(length.nanoseconds()).unwrap();
            prop_assert_eq!(back.nanoseconds(), length.nanoseconds());
            prop_assert!(back.scale() <= length.scale());
        }
    }
}
