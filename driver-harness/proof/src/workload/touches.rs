// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! An exact list of accesses, for tests that know what the device must count.

use std::str::FromStr;

use chmu_machine::memory::PAGE_LINES;

use super::traffic::{Direction, Touch};

/// `PAGE:READS[:WRITES]`: so many loads and then stores of one page.
///
/// Each access goes to the next line of the page, from the first on, so that the same line comes
/// back after 64 accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageTouches {
    /// The page's number.
    pub page: u64,
    /// How many loads.
    pub reads: u64,
    /// How many stores.
    pub writes: u64,
}

/// Not of that form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no touches; write PAGE:READS or PAGE:READS:WRITES")]
pub struct TouchesError(String);

impl FromStr for PageTouches {
    type Err = TouchesError;

    fn from_str(text: &str) -> Result<Self, TouchesError> {
        let numbers: Result<Vec<u64>, _> = text.split(':').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[page, reads]) => Ok(PageTouches {
                page,
                reads,
                writes: 0,
            }),
            Ok(&[page, reads, writes]) => Ok(PageTouches {
                page,
                reads,
                writes,
            }),
            _ => Err(TouchesError(text.to_owned())),
        }
    }
}

impl PageTouches {
    /// The accesses in order.
    pub fn accesses(self) -> impl Iterator<Item = Touch> {
        let reads = (0..self.reads).map(|_| Direction::Read);
        let writes = (0..self.writes).map(|_| Direction::Write);
        let lines = (0..PAGE_LINES).cycle();
        reads
            .chain(writes)
            .zip(lines)
            .map(move |(direction, line)| Touch {
                page: self.page,
                line,
                direction,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touches_are_as_many_as_written() {
        let touches: PageTouches = "5:100:30".parse().unwrap();
        let accesses: Vec<_> = touches.accesses().collect();
        let reads = accesses
            .iter()
            .filter(|touch| touch.direction == Direction::Read);
        assert_eq!((reads.count(), accesses.len()), (100, 130));
        assert!(accesses.iter().all(|touch| touch.page == 5));
        assert_eq!((accesses[63].line, accesses[64].line), (63, 0));
    }

    #[test]
    fn what_names_no_touches_is_refused() {
        for text in ["", "1", "1:", "1:2:3:4", "a:1", "-1:2"] {
            assert!(text.parse::<PageTouches>().is_err(), "{text}");
        }
        assert_eq!("0:1".parse::<PageTouches>().unwrap().writes, 0);
    }
}
