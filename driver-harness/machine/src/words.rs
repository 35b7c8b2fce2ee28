// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Numbers and errors as people read them.

use std::error::Error;

use chmu_spec::epoch::EpochLength;

/// `1 page`, `2 pages`, `no page`.
pub fn count(number: u64, one: &str, several: &str) -> String {
    match number {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{number} {several}"),
    }
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `never`, `once`, `3 times`.
pub fn times(number: u64) -> String {
    match number {
        0 => "never".into(),
        1 => "once".into(),
        _ => format!("{number} times"),
    }
}

/// A time that passed, with three figures.
pub fn span(nanoseconds: u64) -> String {
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| nanoseconds >= *unit) else {
        return format!("{nanoseconds} ns");
    };
    let (whole, rest) = (nanoseconds / unit, nanoseconds % unit);
    match whole {
        0..10 => format!("{whole}.{:02} {name}", rest * 100 / unit),
        10..100 => format!("{whole}.{} {name}", rest * 10 / unit),
        _ => format!("{whole} {name}"),
    }
}

/// The length of an epoch: `100ms`.
pub fn epoch(nanoseconds: u64) -> String {
    let length = EpochLength::from_nanoseconds(nanoseconds);
    length.map_or_else(|| span(nanoseconds), |length| length.to_string())
}

/// The length of an epoch, and what was asked for where that is something else.
pub fn granted_epoch(granted_ns: u64, wished_ns: u64) -> String {
    match granted_ns == wished_ns {
        true => epoch(granted_ns),
        false => format!(
            "{} ({} were asked for)",
            epoch(granted_ns),
            epoch(wished_ns)
        ),
    }
}

/// An amount of memory, with three figures.
pub fn amount(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, name)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes} B");
    };
    let (whole, rest) = (bytes >> shift, bytes & ((1 << shift) - 1));
    let hundredths = (u128::from(rest) * 100) >> shift;
    match whole {
        0..10 => format!("{whole}.{hundredths:02} {name}"),
        10..100 => format!("{whole}.{} {name}", hundredths / 10),
        _ => format!("{whole} {name}"),
    }
}

/// A name that others chose, for a terminal: characters that a terminal obeys are shown as escapes.
pub fn printable(name: &str) -> String {
    let shown = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    name.chars().map(shown).collect()
}

/// An error and its causes in one line.
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_people() {
        assert_eq!(count(0, "page", "pages"), "no page");
        assert_eq!(count(1, "page", "pages"), "1 page");
        assert_eq!(count(2, "page", "pages"), "2 pages");
        assert_eq!([0, 1, 2].map(times), ["never", "once", "2 times"]);
        for (nanoseconds, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_234, "1.23 us"),
            (326_400_000, "326 ms"),
            (12_345_678, "12.3 ms"),
            (7_800_000_000, "7.80 s"),
            (u64::MAX, "18446744073 s"),
        ] {
            assert_eq!(span(nanoseconds), text);
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536 << 20, "1.50 GiB"),
            (45 << 19, "22.5 MiB"),
            (300 << 30, "300 GiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
        assert_eq!(epoch(100_000_000), "100ms");
        assert_eq!(epoch(100_000_001), "100 ms");
        assert_eq!(granted_epoch(1_000_000, 1_000_000), "1ms");
        assert_eq!(
            granted_epoch(1_000_000, 50_000),
            "1ms (50.0 us were asked for)"
        );
    }
}
