// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What can come of a case, and how a case says it.

use std::fmt::{self, Display, LowerHex};

use crate::registers;
use crate::shown::{Shown, bounded};

/// What came of a case.
pub type Outcome = Result<Passed, Stop>;

/// The device does what is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// In the one way there is.
    Plainly,
    /// In one of the readings of the catalogue.
    As(&'static str),
}

/// Why a case went no further.
#[derive(Debug)]
pub enum Stop {
    /// It does not apply to this device, or needs what this path does not have.
    Skipped(Skip),
    /// The device does otherwise.
    Failed(Mismatches),
    /// The device could not be reached; nothing is said about it.
    Broken(anyhow::Error),
    /// Something did not happen within the epoch it belongs to; nothing is said about the device.
    /// With longer epochs the case may come to an end.
    Late,
}

/// What was read and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What was looked at, with the situation it was looked at in.
    pub what: String,
    /// What the device showed.
    pub read: String,
    /// What a device has to show.
    pub expected: String,
}

impl Mismatch {
    /// Whether the device showed something, and not only that nothing was there.
    pub(crate) fn is_of_something(&self) -> bool {
        !matches!(self.read.as_str(), "nothing" | "none" | "no" | "0")
    }
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            read,
            expected,
        } = self;
        write!(f, "{what}: read {read}, expected {expected}")
    }
}

/// So many mismatches of a case are kept, and shown in every report; of more than these only the number.
const KEPT: usize = 8;

/// What a case found a device to do otherwise; one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatches {
    first: Mismatch,
    others: Vec<Mismatch>,
    more: usize,
}

impl Mismatches {
    /// What was found first.
    pub fn first(&self) -> &Mismatch {
        &self.first
    }

    /// The first eight of them, in the order they were found in.
    pub fn iter(&self) -> impl Iterator<Item = &Mismatch> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// How many there are beside those of [`Mismatches::iter`].
    pub fn more(&self) -> usize {
        self.more
    }

    fn add(&mut self, found: Self) {
        let room = KEPT.saturating_sub(1 + self.others.len());
        let mut new = std::iter::once(found.first).chain(found.others);
        self.others.extend(new.by_ref().take(room));
        self.more += new.count() + found.more;
    }
}

impl From<Mismatch> for Mismatches {
    fn from(first: Mismatch) -> Self {
        Self {
            first,
            others: Vec::new(),
            more: 0,
        }
    }
}

impl Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        match self.others.len() + self.more {
            0 => Ok(()),
            others => write!(f, "; and {others} more"),
        }
    }
}

/// Collects what a device does otherwise in a case that looks at many things, so that the first does not hide
/// the rest.
#[derive(Debug, Default)]
pub struct Findings(Option<Mismatches>);

impl Findings {
    /// Takes note of what one look found. One that does not apply says nothing once something was found.
    ///
    /// # Errors
    /// Whatever else ends the case.
    pub fn note(&mut self, look: Result<(), Stop>) -> Result<(), Stop> {
        let found = match look {
            Ok(()) => return Ok(()),
            Err(Stop::Failed(found)) => found,
            Err(Stop::Skipped(_)) if self.0.is_some() => return Ok(()),
            Err(other) => return Err(other),
        };
        match &mut self.0 {
            None => self.0 = Some(found),
            Some(known) => known.add(found),
        }
        Ok(())
    }

    /// Ends the case as failed if anything was found.
    ///
    /// # Errors
    /// With all that was found.
    pub fn end(self) -> Result<(), Stop> {
        match self.0 {
            None => Ok(()),
            Some(found) => Err(Stop::Failed(found)),
        }
    }
}

/// Takes looks that do not depend on each other, and ends with all that they found.
///
/// # Errors
/// With what was found, or with whatever else ends a look.
pub fn each<T>(
    items: impl IntoIterator<Item = T>,
    mut look: impl FnMut(T) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut findings = Findings::default();
    for item in items {
        findings.note(look(item))?;
    }
    findings.end()
}

/// Why a case was not for this device or this path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// What is missing, as a sentence without its full stop.
    pub reason: String,
    /// What a user does to have the case run; none where the device is as it is.
    pub unlocked_by: Option<&'static str>,
}

impl Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// Ends a case that does not apply to the device.
pub fn skip<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skipped(Skip {
        reason: reason.into(),
        unlocked_by: None,
    }))
}

/// Ends a case for want of something that the user can give: `unlocked_by` says how.
pub fn skip_until<T>(reason: impl Into<String>, unlocked_by: &'static str) -> Result<T, Stop> {
    Err(Stop::Skipped(Skip {
        reason: reason.into(),
        unlocked_by: Some(unlocked_by),
    }))
}

/// Ends a case whose device does otherwise.
pub fn fail<T>(
    what: impl Into<String>,
    read: impl Into<String>,
    expected: impl Into<String>,
) -> Result<T, Stop> {
    let [what, read, expected] =
        [what.into(), read.into(), expected.into()].map(|text| bounded(&text));
    Err(Stop::Failed(Mismatches::from(Mismatch {
        what,
        read,
        expected,
    })))
}

/// Demands that two values are equal.
pub fn expect_equal<T: PartialEq + Shown>(
    what: impl Into<String>,
    read: T,
    expected: T,
) -> Result<(), Stop> {
    if read == expected {
        Ok(())
    } else {
        let seen = read.shown_beside(&expected);
        fail(what, seen, expected.shown_beside(&read))
    }
}

/// Demands that two values of bits are equal; they are shown in hexadecimal.
pub fn expect_bits<T: PartialEq + LowerHex>(
    what: impl Into<String>,
    read: T,
    expected: T,
) -> Result<(), Stop> {
    if read == expected {
        Ok(())
    } else {
        fail(what, format!("{read:#x}"), format!("{expected:#x}"))
    }
}

/// Demands that a register of an instance, `offset` bytes from its start, holds a value; fields that differ are
/// named.
pub fn expect_register(
    offset: u64,
    situation: impl Display,
    read: u64,
    expected: u64,
) -> Result<(), Stop> {
    if read == expected {
        return Ok(());
    }
    let said = |value, other| {
        let fields = registers::differing_fields(offset, value, other);
        match &*fields {
            "" => format!("{value:#x}"),
            fields => format!("{value:#x}: {fields}"),
        }
    };
    fail(
        format!("{} {situation}", registers::name(offset)),
        said(read, expected),
        said(expected, read),
    )
}

/// Demands that something holds; `read` and `expected` say in words what is and what should be.
pub fn expect(
    holds: bool,
    what: impl Into<String>,
    read: impl Into<String>,
    expected: impl Into<String>,
) -> Result<(), Stop> {
    if holds {
        Ok(())
    } else {
        fail(what, read, expected)
    }
}

#[cfg(test)]
mod tests {
    use chmu_spec::chmu::offset;

    use super::*;

    #[test]
    fn a_register_is_said_by_name_field_number_and_meaning() {
        let found = expect_register(offset::STATUS, "after a disable", 0x1_0001, 0);
        let Err(Stop::Failed(found)) = found else {
            panic!("{found:?}")
        };
        assert_eq!(
            found.to_string(),
            "Status (0x60) after a disable: read 0x10001: enabled 1, operation in progress 1 (enable), \
             expected 0x0: enabled 0, operation in progress 0 (none)"
        );
    }

    #[test]
    fn the_first_finding_hides_no_other() {
        let mut findings = Findings::default();
        findings.note(Ok(())).unwrap();
        let does_not_apply = findings.note(skip("no list"));
        assert!(matches!(does_not_apply, Err(Stop::Skipped(_))));
        for number in [1_u64, 2, 3] {
            findings.note(expect_equal("entries", number, 0)).unwrap();
        }
        findings.note(skip("no list")).unwrap();
        assert!(matches!(findings.note(Err(Stop::Late)), Err(Stop::Late)));
        let Err(Stop::Failed(found)) = findings.end() else {
            panic!("nothing was found")
        };
        assert_eq!(found.iter().count(), 3);
        assert_eq!(found.to_string(), "entries: read 1, expected 0; and 2 more");
        Findings::default().end().unwrap();
    }

    #[test]
    fn more_than_eight_findings_are_a_number() {
        let found = each(0..3, |_| {
            each(0..5, |number: u64| expect_equal("entries", number + 1, 0))
        });
        let Err(Stop::Failed(found)) = found else {
            panic!("{found:?}")
        };
        assert_eq!((found.iter().count(), found.more()), (8, 7));
        assert_eq!(
            found.to_string(),
            "entries: read 1, expected 0; and 14 more"
        );
    }
}
