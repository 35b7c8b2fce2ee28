// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether every page still holds what was written to it.

use serde::{Deserialize, Serialize};

use chmu_machine::memory::PAGE_WORDS;

/// So many wrong pages are described one by one.
const EXAMPLES_MAX: usize = 16;

/// The outcome for all pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Verification {
    /// How many pages were read, every word of them.
    pub pages_checked: u64,
    /// How many hold a wrong word.
    pub corrupt_pages: u64,
    /// The first wrong word of the first wrong pages.
    pub wrong_words: Vec<WrongWord>,
}

/// A word that is not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongWord {
    /// The page's number.
    pub page: u64,
    /// The word's place in the page, 0 to 511.
    pub place: u64,
    /// What it must be.
    pub expected: u64,
    /// What it is.
    pub found: u64,
}

/// Compares what `read` finds with what is `expected`, both by page and place.
pub(super) fn verify(
    pages: u64,
    read: impl Fn(u64, u64) -> u64,
    expected: impl Fn(u64, u64) -> u64,
) -> Verification {
    let mut verification = Verification {
        pages_checked: pages,
        ..Verification::default()
    };
    for page in 0..pages {
        let wrong = (0..PAGE_WORDS).find_map(|place| {
            let (expected, found) = (expected(page, place), read(page, place));
            (found != expected).then_some(WrongWord {
                page,
                place,
                expected,
                found,
            })
        });
        if let Some(wrong) = wrong {
            verification.corrupt_pages += 1;
            if verification.wrong_words.len() < EXAMPLES_MAX {
                verification.wrong_words.push(wrong);
            }
        }
    }
    verification
}
