// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What can come of a case, and how a case says it.

use std::fmt::{self, Debug, Display, LowerHex};

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
    Skipped(String),
    /// The device does otherwise.
    Failed(Mismatch),
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

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// Ends a case that does not apply.
pub fn skip<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skipped(reason.into()))
}

/// Ends a case whose device does otherwise.
pub fn fail<T>(
    what: impl Into<String>,
    read: impl Into<String>,
    expected: impl Into<String>,
) -> Result<T, Stop> {
    Err(Stop::Failed(Mismatch {
        what: what.into(),
        read: read.into(),
        expected: expected.into(),
    }))
}

/// Demands that two values are equal; they are shown as `Debug` does.
pub fn expect_equal<T: PartialEq + Debug>(
    what: impl Into<String>,
    read: T,
    expected: T,
) -> Result<(), Stop> {
    if read == expected {
        Ok(())
    } else {
        fail(what, format!("{read:?}"), format!("{expected:?}"))
    }
}

/// Demands that two register values are equal; they are shown in hexadecimal.
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
