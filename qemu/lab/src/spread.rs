// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Figures of several seeds in one.

use serde::Serialize;

/// The figure in the middle, and how far others lie from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the figures are at most this; of an even number of them the upper of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these figures; none of none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Some(Spread {
            median: *figures.get(figures.len() / 2)?,
            least: *figures.first()?,
            most: *figures.last()?,
        })
    }

    /// In these words, with the least and the most where they differ.
    pub fn words(&self, word: impl Fn(f64) -> String) -> String {
        let [median, least, most] = [self.median, self.least, self.most].map(word);
        match least == most {
            true => median,
            false => format!("{median} ({least} to {most})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_none_of_the_ends() {
        let spread = Spread::of([9.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.least, spread.most), (2.0, 1.0, 9.0));
        assert_eq!(spread.words(|one| format!("{one:.0}")), "2 (1 to 9)");
        assert_eq!(
            Spread::of([4.0, 4.0])
                .unwrap()
                .words(|one| format!("{one}")),
            "4"
        );
        assert_eq!(Spread::of([]), None);
    }
}
