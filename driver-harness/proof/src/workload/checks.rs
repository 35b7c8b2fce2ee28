// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a workload finds by looking at each word that it accesses.

use serde::{Deserialize, Serialize};

/// So many wrong words are described one by one.
const EXAMPLES_MAX: usize = 16;

/// Words that were looked at when they were accessed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checks {
    /// Words compared with what they must be.
    pub words_checked: u64,
    /// Of these, those that were another.
    pub wrong_words: u64,
    /// Of these, those that held what an earlier write had left: a lost write, or a stale read.
    pub outdated_words: u64,
    /// The first wrong ones.
    pub examples: Vec<WrongAccess>,
}

/// An access that found what must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongAccess {
    /// The page's number.
    pub page: u64,
    /// The word's place in the page, 0 to 511.
    pub place: u64,
    /// What it must be.
    pub expected: u64,
    /// What it is.
    pub found: u64,
    /// So many writes are missing in it; none where it is no earlier content of this word.
    #[serde(deserialize_with = "Option::deserialize")]
    pub writes_missing: Option<u32>,
    /// When it was found, on `CLOCK_MONOTONIC`.
    pub time_ns: u64,
}

impl Checks {
    /// Counts a wrong word; only the first are kept.
    pub fn add(&mut self, wrong: WrongAccess) {
        self.wrong_words += 1;
        self.outdated_words += u64::from(wrong.writes_missing.is_some());
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(wrong);
        }
    }
}
