// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Numbers that must make sense before anything is touched.

use std::ops::Range;
use std::time::Duration;

use super::duration;

/// A number of which there must be some.
pub(super) fn positive<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| format!("{text:?} is no whole number"))?;
    match (number, N::try_from(number)) {
        (0, _) => Err("0 leaves nothing to do; write at least 1".into()),
        (_, Ok(number)) => Ok(number),
        (_, Err(_)) => Err(format!("{text} is too large")),
    }
}

/// Addresses as /proc/PID/maps has them: `START-END`, in hexadecimal.
pub(super) fn addresses(text: &str) -> Result<Range<u64>, String> {
    let refused =
        || format!("{text:?} is no range; write START-END in hexadecimal, as in /proc/PID/maps");
    let (start, end) = text.split_once('-').ok_or_else(refused)?;
    let number = |digits: &str| {
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        u64::from_str_radix(digits, 16).map_err(|_| refused())
    };
    let range = number(start)?..number(end)?;
    match range.is_empty() {
        true => Err(format!("{text:?} has no addresses in it")),
        false => Ok(range),
    }
}

/// A part of a whole.
pub(super) fn part(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if (0.0..=1.0).contains(&part) => Ok(part),
        _ => Err(format!(
            "{text:?} is no part; write a number from 0 to 1, such as 0.95"
        )),
    }
}

/// A length of time that is not nothing.
pub(super) fn epoch(text: &str) -> Result<Duration, String> {
    some_time(text, "an epoch takes time; write at least 100us")
}

/// A time in which something halves, or for which something is remembered.
pub(super) fn lasting(text: &str) -> Result<Duration, String> {
    some_time(text, "no time at all is none; write one such as 2s")
}

fn some_time(text: &str, otherwise: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err(otherwise.into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        assert_eq!(positive::<u32>("7"), Ok(7));
        for text in ["0", "-1", "a", "4294967296"] {
            assert!(positive::<u32>(text).is_err(), "{text}");
        }
        assert_eq!(part("0.5"), Ok(0.5));
        for text in ["1.1", "-0.1", "NaN", "half"] {
            assert!(part(text).is_err(), "{text}");
        }
        assert_eq!(addresses("7f00-0x7f10"), Ok(0x7f00..0x7f10));
        for text in ["", "7f00", "7f10-7f00", "1-1", "a-g", "-"] {
            assert!(addresses(text).is_err(), "{text}");
        }
        assert_eq!(epoch("1ms"), Ok(Duration::from_millis(1)));
        assert!(epoch("0s").is_err());
    }
}
