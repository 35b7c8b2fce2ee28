// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Random updates of a table, as the benchmark GUPS has them, of which most go to a window that moves.

use super::Wrong;

/// The window is one part in so many of the table.
const WINDOW_SHARE: u64 = 8;

/// What is updated, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Words of 64 bits, at least eight.
    pub entries: u64,
    /// So many updates before the window moves on.
    pub updates: u64,
    /// The window is in so many places.
    pub moves: u64,
    /// Of a hundred updates so many go to the window.
    pub hot_percent: u8,
    /// Chooses the updates.
    pub seed: u64,
}

/// A table of numbers, each in its own place.
#[derive(Debug)]
pub struct Table {
    plan: Plan,
    words: Vec<u64>,
}

impl Table {
    /// Before any update.
    pub fn new(plan: Plan) -> Table {
        Table {
            plan,
            words: (0..plan.entries).collect(),
        }
    }

    /// Updates it. Returns how often.
    pub fn update(&mut self) -> u64 {
        let Plan {
            entries,
            updates,
            moves,
            hot_percent,
            seed,
        } = self.plan;
        let mut random = fastrand::Rng::with_seed(seed);
        let window = (entries / WINDOW_SHARE).max(1);
        for _ in 0..moves {
            let start = random.u64(..=entries - window);
            for _ in 0..updates {
                let value = random.u64(..);
                let place = match random.u8(..100) < hot_percent {
                    true => start + value % window,
                    false => value % entries,
                };
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                self.words[place] ^= value;
            }
        }
        moves * updates
    }

    /// Loses a bit of one word.
    pub fn spoil(&mut self) {
        let middle = self.words.len() / 2;
        self.words[middle] ^= 1;
    }

    /// Does all updates again, which undoes them, and looks at each word.
    ///
    /// # Errors
    /// When a word is another than before any update.
    pub fn check(&mut self) -> Result<(), Wrong> {
        self.update();
        let mut words = (0_u64..).zip(&self.words);
        match words.find(|(place, word)| place != *word) {
            None => Ok(()),
            Some((place, word)) => Err(Wrong::new(
                format!("Once all updates are undone, word {place}"),
                word,
                place,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        entries: 1024,
        updates: 5000,
        moves: 3,
        hot_percent: 90,
        seed: 1,
    };

    #[test]
    fn most_updates_go_to_the_window_and_all_can_be_undone() {
        let mut table = Table::new(Plan { moves: 1, ..PLAN });
        assert_eq!(table.update(), 5000);
        let changed = |words: &[u64]| {
            let words = (0_u64..).zip(words);
            words.filter(|(place, word)| place != *word).count()
        };
        // All 128 of the window, and of the others what a tenth of the updates reaches.
        let others = changed(&table.words);
        assert!((400..=600).contains(&others), "{others}");
        table.check().unwrap();
        assert_eq!(changed(&table.words), 0);
    }

    #[test]
    fn a_bit_that_is_lost_is_found() {
        let mut table = Table::new(PLAN);
        table.update();
        table.spoil();
        let wrong = table.check().unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "Once all updates are undone, word 512 is 513, and must be 512"
        );
    }

    #[test]
    fn the_smallest_table_has_a_window_too() {
        let mut table = Table::new(Plan { entries: 8, ..PLAN });
        table.update();
        table.check().unwrap();
    }
}
