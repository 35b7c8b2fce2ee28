// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Times as users write them.

use std::time::Duration;

/// A number with a unit: `100us`, `100ms`, `2s`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is no time; write it with its unit, for example 100ms");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| refused())?;
    match &text[digits.len()..] {
        "ns" => Ok(Duration::from_nanos(number)),
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(refused()),
    }
}

/// A time as [`parse`] takes it, in the largest unit of which it has a whole number.
pub(super) fn written(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let whole = units
        .into_iter()
        .find(|(unit, _)| nanoseconds.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "ns"));
    format!("{}{name}", nanoseconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        for text in ["30s", "1500ms", "250us", "1001ns", "0s"] {
            assert_eq!(parse(text).map(written).as_deref(), Ok(text));
        }
        for text in ["", "100", "ms", "1m", "-1s", "1.5s", "1 s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
