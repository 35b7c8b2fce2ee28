// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A pointer chase: each line of memory says which one comes next, in one circle through all of them, so that no
//! processor can ask for a line before it has the one before.

use super::Wrong;

/// A line of a processor's cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line {
    next: u32,
}

/// A circle of lines in random order.
#[derive(Debug)]
pub struct Chase {
    lines: Vec<Line>,
}

impl Chase {
    /// Lines of 64 bytes, linked in an order that the seed chooses.
    pub fn new(lines: u32, seed: u64) -> Chase {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut chase: Vec<_> = (0..lines).map(|next| Line { next }).collect();
        // Sattolo's shuffle makes one circle of them all.
        for last in (1..chase.len()).rev() {
            chase.swap(last, random.usize(..last));
        }
        Chase { lines: chase }
    }

    /// Has two lines say what the other should, so that one circle becomes two.
    pub fn spoil(&mut self) {
        if self.lines.len() > 1 {
            self.lines.swap(0, 1);
        }
    }

    /// Goes round so many times. Returns the steps that it took.
    ///
    /// # Errors
    /// When not every line was passed as often as it is gone round.
    pub fn run(&self, rounds: u64) -> Result<u64, Wrong> {
        let lines = self.lines.len() as u64;
        let mut steps = 0;
        for _ in 0..rounds {
            let (mut place, mut sum) = (0, 0_u64);
            for _ in 0..lines {
                sum = sum.wrapping_add(place as u64);
                place = self.lines[place].next as usize;
            }
            steps += lines;
            let right = lines.saturating_mul(lines.saturating_sub(1)) / 2;
            if (place, sum) != (0, right) {
                return Err(Wrong::new(
                    "The sum of the lines that were passed",
                    sum,
                    right,
                ));
            }
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_passes_every_line_and_comes_back() {
        for lines in [1, 2, 3, 64, 1000] {
            for seed in 0..20 {
                assert_eq!(
                    Chase::new(lines, seed).run(3),
                    Ok(3 * u64::from(lines)),
                    "{lines} lines, seed {seed}"
                );
            }
        }
    }

    #[test]
    fn its_order_is_the_seeds() {
        let order = |seed| {
            let lines = Chase::new(100, seed).lines;
            lines.iter().map(|line| line.next).collect::<Vec<_>>()
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
    }

    #[test]
    fn a_line_that_is_passed_over_is_found() {
        for lines in [2, 3, 1000] {
            let mut chase = Chase::new(lines, 1);
            chase.spoil();
            assert!(chase.run(1).is_err(), "{lines}");
        }
    }
}
