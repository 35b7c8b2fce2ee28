// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a workload's pages must hold, and what they were found to hold.

use chmu_machine::memory::{LINE_WORDS, PAGE_LINES};

use super::checks::{Checks, WrongAccess};
use super::pattern::Pattern;
use super::traffic::Touch;
use super::verification::{self, Verification};

/// Kept apart from the pages themselves, so that whatever happens to them does not happen to it.
#[derive(Debug, Clone)]
pub struct Expectation {
    pattern: Pattern,
    pages: u64,
    /// Writes to each line.
    writes: Vec<u32>,
    checks: Checks,
}

impl Expectation {
    /// Of pages that hold their pattern and were not written to since; none when there are too many.
    pub fn of(pattern: Pattern, pages: u64) -> Option<Expectation> {
        let lines = usize::try_from(pages.checked_mul(PAGE_LINES)?).ok()?;
        let mut writes = Vec::new();
        writes.try_reserve_exact(lines).ok()?;
        writes.resize(lines, 0);
        Some(Expectation {
            pattern,
            pages,
            writes,
            checks: Checks::default(),
        })
    }

    /// Compares what was found at a touch with what must be there; `time_ns` tells the time.
    ///
    /// # Panics
    /// When there is no such page.
    pub fn check(&mut self, touch: Touch, found: u64, time_ns: impl FnOnce() -> u64) {
        let (page, place) = (touch.page, touch.place());
        let writes = self.writes[line_index(page, touch.line)];
        let expected = self.pattern.word(page, place, writes);
        self.checks.words_checked += 1;
        if found != expected {
            self.checks.add(WrongAccess {
                page,
                place,
                expected,
                found,
                writes_missing: self.pattern.writes_missing((page, place), writes, found),
                time_ns: time_ns(),
            });
        }
    }

    /// The word that the next write at a touch leaves, from now on expected there.
    ///
    /// # Panics
    /// When there is no such page.
    pub fn write(&mut self, touch: Touch) -> u64 {
        let writes = &mut self.writes[line_index(touch.page, touch.line)];
        *writes = writes.wrapping_add(1);
        self.pattern.word(touch.page, touch.place(), *writes)
    }

    /// What the checks found until now.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Compares every word of every page, as `read` finds it by page and place.
    pub fn verify(&self, read: impl Fn(u64, u64) -> u64) -> Verification {
        verification::verify(self.pages, read, |page, place| {
            let writes = self.writes[line_index(page, place / LINE_WORDS)];
            self.pattern.word(page, place, writes)
        })
    }
}

/// The place of a line in `writes`, which has an entry for every line of every page.
#[expect(clippy::cast_possible_truncation)]
fn line_index(page: u64, line: u64) -> usize {
    (page * PAGE_LINES + line) as usize
}
