// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Values with units, as the configuration file and the command line write them.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Visitor};

/// Suffixes of sizes, largest first.
const SIZE_UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];
/// Suffixes of durations with their nanoseconds, largest first.
const DURATION_UNITS: [(&str, u64); 4] = [
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A text that is no quantity of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// A text that is no number of bytes.
    #[error("\"{0}\" is no size; write bytes, or a number with K, M, G or T, such as 256M")]
    Size(String),
    /// A text that is no duration.
    #[error("\"{0}\" is no duration; write a number with ns, us, ms or s, such as 100ms")]
    Duration(String),
    /// A text that is no number, decimal or hexadecimal.
    #[error("\"{0}\" is no number from 0 to 2^64 - 1; write it like 4096 or 0x1000")]
    Number(String),
}

/// A number of bytes. Written as a number or with a binary suffix: `4096`, `4K`, `256M`, `1G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let unit = SIZE_UNITS.into_iter().find_map(|(suffix, shift)| {
            let count = text.strip_suffix([suffix, suffix.to_ascii_lowercase()])?;
            Some((count, shift))
        });
        let (count, shift) = unit.unwrap_or((text, 0));
        parse_number(count)
            .and_then(|count| count.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| QuantityError::Size(text.to_owned()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZE_UNITS
            .into_iter()
            .find(|(_, shift)| self.0 != 0 && self.0.trailing_zeros() >= *shift);
        match unit {
            Some((suffix, shift)) => write!(f, "{}{suffix}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A duration in nanoseconds. Written with a unit: `250us`, `100ms`, `1s`; 0 needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanoseconds(pub u64);

impl FromStr for Nanoseconds {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let suffix = text.get(digits.len()..).unwrap_or_default();
        let unit = DURATION_UNITS.into_iter().find(|(unit, _)| *unit == suffix);
        let count: Option<u64> = digits.parse().ok();
        match (count, unit) {
            (Some(0), None) if suffix.is_empty() => Some(0),
            (Some(count), Some((_, nanoseconds))) => count.checked_mul(nanoseconds),
            _ => None,
        }
        .map(Self)
        .ok_or_else(|| QuantityError::Duration(text.to_owned()))
    }
}

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = DURATION_UNITS
            .into_iter()
            .find_map(|(suffix, nanoseconds)| {
                let count = self.0.checked_div(nanoseconds)?;
                (count > 0 && self.0.is_multiple_of(nanoseconds)).then_some((count, suffix))
            });
        match unit {
            Some((count, suffix)) => write!(f, "{count}{suffix}"),
            None => write!(f, "0ns"),
        }
    }
}

/// A number that people read in hexadecimal: an address or a serial number. Written as `0x1000`,
/// as `4096`, or, for addresses, like a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hexadecimal(pub u64);

impl FromStr for Hexadecimal {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        text.parse()
            .map(|Size(number)| Self(number))
            .map_err(|_| QuantityError::Number(text.to_owned()))
    }
}

impl fmt::Display for Hexadecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Digits, or hexadecimal digits after `0x`; `_` may separate them.
fn parse_number(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    let is_digits = |digits: &str| digits.starts_with(|first: char| first.is_ascii_hexdigit());
    match text.strip_prefix("0x") {
        Some(digits) if is_digits(digits) => u64::from_str_radix(digits, 16).ok(),
        None if is_digits(&text) => text.parse().ok(),
        _ => None,
    }
}

/// Takes an integer or a text and parses it.
struct TextOrInteger<T> {
    expecting: &'static str,
    target: PhantomData<T>,
}

impl<T> Visitor<'_> for TextOrInteger<T>
where
    T: FromStr<Err: fmt::Display>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Reads a value that is written as an integer or as a text.
///
/// # Errors
/// When it is written in another way, or does not parse.
pub fn text_or_integer<'de, D, T>(deserializer: D, expecting: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    deserializer.deserialize_any(TextOrInteger {
        expecting,
        target: PhantomData,
    })
}

macro_rules! in_files {
    ($name:ident, $expecting:literal) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text_or_integer(deserializer, $expecting)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

in_files!(Size, "a size such as \"256M\" or 4096");
in_files!(Nanoseconds, "a duration such as \"100ms\"");
in_files!(Hexadecimal, "a number such as 4096 or \"0x1000\"");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_written_with_binary_suffixes() {
        let size = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("4K"), Ok(4096));
        assert_eq!(size("256m"), Ok(256 << 20));
        assert_eq!(size("1G"), Ok(1 << 30));
        assert_eq!(size("2T"), Ok(2 << 40));
        assert_eq!(size("0x1000"), Ok(0x1000));
        for text in [
            "",
            "G",
            "-1",
            "+1",
            "1.5G",
            "1 G",
            "16777216T",
            "0x",
            "0x+1",
        ] {
            assert_eq!(size(text), Err(QuantityError::Size(text.to_owned())));
        }
    }

    #[test]
    fn durations_need_a_unit() {
        let duration = |text: &str| text.parse::<Nanoseconds>().map(|duration| duration.0);
        assert_eq!(duration("100ms"), Ok(100_000_000));
        assert_eq!(duration("0"), Ok(0));
        assert_eq!(duration("7ns"), Ok(7));
        assert_eq!(
            duration("100").unwrap_err().to_string(),
            "\"100\" is no duration; write a number with ns, us, ms or s, such as 100ms"
        );
        for text in ["", "ms", "1h", "1 s", "-1s", "99999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(number: u64, shift in 0_u32..64) {
            let number = number >> shift;
            prop_assert_eq!(Size(number).to_string().parse(), Ok(Size(number)));
            prop_assert_eq!(Hexadecimal(number).to_string().parse(), Ok(Hexadecimal(number)));
            prop_assert_eq!(Nanoseconds(number).to_string().parse(), Ok(Nanoseconds(number)));
        }

        #[test]
        fn any_text_is_survived(text: String) {
            let _ = text.parse::<Size>();
            let _ = text.parse::<Nanoseconds>();
            let _ = text.parse::<Hexadecimal>();
        }
    }
}
