// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What became of hot pages, counted.

use std::collections::BTreeMap;

use crate::batch::Route;
use crate::rejection::Rejection;

/// Counts of one step, or of several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Pages handed to the actuator, each time that they were.
    pub pages_selected: u64,
    /// Pages that arrived, by the actuator's own word.
    pub pages_promoted: BTreeMap<Route, u64>,
    /// Frames that were not promoted.
    pub rejected: BTreeMap<Rejection, u64>,
    /// Calls of the actuator.
    pub batches: u64,
}

impl Outcome {
    pub(super) fn reject(&mut self, rejection: Rejection) {
        *self.rejected.entry(rejection).or_default() += 1;
    }

    /// Pages that arrived anywhere.
    pub fn promoted(&self) -> u64 {
        self.pages_promoted.values().sum()
    }

    /// Frames not promoted for any reason.
    pub fn rejected(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Adds what another step counted.
    pub fn add(&mut self, other: &Outcome) {
        self.pages_selected += other.pages_selected;
        self.batches += other.batches;
        for (&route, pages) in &other.pages_promoted {
            *self.pages_promoted.entry(route).or_default() += pages;
        }
        for (&rejection, count) in &other.rejected {
            *self.rejected.entry(rejection).or_default() += count;
        }
    }
}
