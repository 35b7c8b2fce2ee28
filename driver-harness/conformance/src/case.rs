// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a conformance case is.

use crate::bench::Bench;
use crate::outcome::Outcome;

/// How much of a device must be found before a case can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Its configuration space.
    Function,
    /// The headers of its CHMU blocks.
    Blocks,
    /// An instance.
    Instance,
}

/// One case: a name and what it does with a device.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// `area/what-it-checks`.
    pub name: &'static str,
    /// What it does, as a sentence.
    pub explanation: &'static str,
    /// It reads registers only.
    pub reads_only: bool,
    /// What it looks at.
    pub reach: Reach,
    /// Runs it. All instances are disabled and reset before.
    pub run: fn(&mut Bench<'_>) -> Outcome,
}

impl Case {
    /// The same, also where no more than this can be found of a device.
    pub const fn within(self, reach: Reach) -> Case {
        Case { reach, ..self }
    }

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
        reach: Reach::Instance,
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
        reach: Reach::Instance,
        run,
    }
}
