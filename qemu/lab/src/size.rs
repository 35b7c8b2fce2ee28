// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Sizes as people write them.

use std::fmt;
use std::str::FromStr;

use crate::topology::{GIB, KIB, MIB};

const UNITS: [(u64, char); 3] = [(GIB, 'G'), (MIB, 'M'), (KIB, 'K')];

/// A number of bytes, written as `4096`, `64K`, `256M` or `1G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no size; write 4096, 64K, 256M or 1G")]
pub struct SizeError(String);

/// With the largest unit that leaves a whole number.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = UNITS.iter().find(|(unit, _)| self.0.is_multiple_of(*unit));
        match fitting {
            Some((unit, letter)) if self.0 > 0 => write!(f, "{}{letter}", self.0 / unit),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let with_unit = UNITS
            .iter()
            .find_map(|(unit, letter)| Some((text.strip_suffix(*letter)?, *unit)));
        let (number, unit) = with_unit.unwrap_or((text, 1));
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse::<u64>().ok().filter(|_| digits);
        number
            .and_then(|number| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| SizeError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let texts = ["0", "1", "1023", "3K", "64K", "512M", "1G", "1025M"];
        for text in texts {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        assert_eq!("1024M".parse(), Ok(ByteSize(GIB)));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "G", "1T", "-1", "+1", "1.5G", "1 G", "17179869184G"] {
            let error = text.parse::<ByteSize>().unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("{text:?}")),
                "{error}"
            );
        }
    }
}
