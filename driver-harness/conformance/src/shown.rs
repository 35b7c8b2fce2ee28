// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Values that a device shows and values that it should show, for people.

use std::fmt::Write as _;

use chmu_spec::address::UnitIndex;
use chmu_spec::hotlist::Entry;

/// No list is shown further than this; a hotlist has up to 65,534 entries.
const SHOWN_ITEMS: usize = 8;
/// No text of a report is longer, in characters.
pub const LONGEST_TEXT: usize = 400;

/// A value of a register, a hotlist or a count.
pub trait Shown {
    /// The value in words; numbers above 9 in hexadecimal as well.
    fn shown(&self) -> String;

    /// The same beside another value that differs from it, so that the two texts differ as well.
    fn shown_beside(&self, _other: &Self) -> String {
        self.shown()
    }
}

/// A text that is not longer than [`LONGEST_TEXT`], on one line and without characters that a terminal obeys.
pub fn bounded(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let count = text.chars().count();
    if count <= LONGEST_TEXT {
        return text.chars().map(plain).collect();
    }
    let mut short: String = text.chars().take(LONGEST_TEXT).map(plain).collect();
    // Writing to a string cannot fail.
    let _ = write!(short, "... and {} characters more", count - LONGEST_TEXT);
    short
}

macro_rules! number {
    ($($number:ty),+) => {$(
        impl Shown for $number {
            fn shown(&self) -> String {
                match *self {
                    number @ 0..10 => number.to_string(),
                    number => format!("{number} ({number:#x})"),
                }
            }
        }
    )+};
}

number!(u8, u16, u32, u64, usize);

impl Shown for bool {
    fn shown(&self) -> String {
        match self {
            true => "yes".into(),
            false => "no".into(),
        }
    }
}

impl Shown for str {
    fn shown(&self) -> String {
        self.to_owned()
    }
}

impl Shown for UnitIndex {
    fn shown(&self) -> String {
        format!("unit {:#x}", self.0)
    }
}

impl Shown for Entry {
    fn shown(&self) -> String {
        (self.unit, self.count).shown()
    }
}

impl Shown for (UnitIndex, u64) {
    fn shown(&self) -> String {
        let (unit, count) = self;
        format!("{} with count {count}", unit.shown())
    }
}

impl Shown for (bool, bool) {
    fn shown(&self) -> String {
        format!("{} and {}", self.0.shown(), self.1.shown())
    }
}

/// The words of a bitmap, in hexadecimal.
pub fn bits(words: &[u64]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("{word:#x}")).collect();
    words.shown()
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".into(), Shown::shown)
    }
}

impl<T: Shown + ?Sized> Shown for &T {
    fn shown(&self) -> String {
        (*self).shown()
    }

    fn shown_beside(&self, other: &Self) -> String {
        (*self).shown_beside(other)
    }
}

impl<T: Shown + PartialEq> Shown for [T] {
    fn shown(&self) -> String {
        if self.is_empty() {
            return "nothing".into();
        }
        let first = self.iter().take(SHOWN_ITEMS).map(Shown::shown);
        let text = first.collect::<Vec<_>>().join(", ");
        match self.len() {
            0..=SHOWN_ITEMS => text,
            length => format!("{text} and {} more", length - SHOWN_ITEMS),
        }
    }

    /// Where lists are alike as far as they are shown, the first place at which they differ.
    fn shown_beside(&self, other: &Self) -> String {
        let alike = self.iter().zip(other).take_while(|(one, two)| one == two);
        match alike.count() {
            ..SHOWN_ITEMS => self.shown(),
            index => {
                let item = self.get(index).map_or("nothing".into(), Shown::shown);
                format!("{item} at index {index} of {}", self.len())
            }
        }
    }
}

impl<T: Shown + PartialEq> Shown for Vec<T> {
    fn shown(&self) -> String {
        self[..].shown()
    }

    fn shown_beside(&self, other: &Self) -> String {
        self[..].shown_beside(other)
    }
}

impl<T: Shown + PartialEq, const LENGTH: usize> Shown for [T; LENGTH] {
    fn shown(&self) -> String {
        self[..].shown()
    }

    fn shown_beside(&self, other: &Self) -> String {
        self[..].shown_beside(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_words() {
        assert_eq!(7_u64.shown(), "7");
        assert_eq!(100_u16.shown(), "100 (0x64)");
        assert_eq!(true.shown(), "yes");
        let entry = Entry {
            unit: UnitIndex(0x4000),
            count: 3,
        };
        assert_eq!(entry.shown(), "unit 0x4000 with count 3");
        assert_eq!(Vec::<Entry>::new().shown(), "nothing");
        assert_eq!(Some(3_u64).shown(), "3");
        assert_eq!(None::<u64>.shown(), "none");
        assert_eq!(bits(&[0, u64::MAX]), "0x0, 0xffffffffffffffff");
    }

    #[test]
    fn long_lists_are_short() {
        let entries: Vec<_> = (0..65_534).map(UnitIndex).collect();
        let text = entries.shown();
        assert!(text.starts_with("unit 0x0, unit 0x1, "), "{text}");
        assert!(text.ends_with(" and 65526 more"), "{text}");
        assert!(text.len() < 120, "{text}");
    }

    #[test]
    fn long_lists_say_where_they_differ() {
        let all: Vec<_> = (0..2047).map(UnitIndex).collect();
        let mut wrong = all.clone();
        wrong[255] = UnitIndex(0x800);
        assert_eq!(wrong.shown_beside(&all), "unit 0x800 at index 255 of 2047");
        assert_eq!(all.shown_beside(&wrong), "unit 0xff at index 255 of 2047");
        let short = all[..12].to_vec();
        assert_eq!(short.shown_beside(&all), "nothing at index 12 of 12");
        assert_eq!(all.shown_beside(&short), "unit 0xc at index 12 of 2047");
        wrong[3] = UnitIndex(0x801);
        assert_eq!(wrong.shown_beside(&all), wrong.shown());
    }

    #[test]
    fn texts_have_a_bound_and_one_line() {
        let text = bounded(&"\u{e9}\n\u{1b}[31m".repeat(1000));
        assert!(text.chars().count() < LONGEST_TEXT + 40);
        assert!(text.ends_with("and 6600 characters more"), "{text}");
        assert!(!text.contains(char::is_control));
    }
}
