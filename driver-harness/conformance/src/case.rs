// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a conformance case is.

use crate::bench::Bench;
use crate::outcome::Outcome;

/// One case: a name and what it does with a device.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// `area/what-it-checks`.
    pub name: &'static str,
    /// What it does, as a sentence.
    pub explanation: &'static str,
    /// It reads registers only.
    pub reads_only: bool,
    /// Runs it. All instances are disabled and reset before.
    pub run: fn(&mut Bench<'_>) -> Outcome,
}

impl Case {
    /// The part of the name that it shares with cases about the same thing.
    pub fn area(&self) -> &'static str {
        area(self.name)
    }
}

/// The area of a case's name.
pub(crate) fn area(name: &str) -> &str {
    name.split_once('/').map_or(name, |(area, _)| area)
}

/// A case that configures the device.
pub const fn case(
    name: &'static str,
    explanation: &'static str,
    run: fn(&mut Bench<'_>) -> Outcome,
) -> Case {
    Case {
        name,
        explanation,
        reads_only: false,
        run,
    }
}

/// A case that only reads registers: fit for a first look at unknown hardware.
pub const fn reading_case(
    name: &'static str,
    explanation: &'static str,
    run: fn(&mut Bench<'_>) -> Outcome,
) -> Case {
    Case {
        name,
        explanation,
        reads_only: true,
        run,
    }
}
