// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Cells below one another, for people.

/// How wide each of `COUNT` columns has to be.
#[derive(Debug, Clone, Copy)]
pub struct Columns<const COUNT: usize> {
    widths: [usize; COUNT],
    /// Which have words, and not figures.
    words: [bool; COUNT],
}

impl<const COUNT: usize> Columns<COUNT> {
    /// For these heads and rows; the columns of these numbers have words.
    pub fn of(heads: [&str; COUNT], rows: &[[String; COUNT]], words: &[usize]) -> Self {
        let mut widths = heads.map(|head| head.chars().count());
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let words = std::array::from_fn(|column| words.contains(&column));
        Self { widths, words }
    }

    /// How wide a column is.
    pub fn width(&self, column: usize) -> usize {
        self.widths.get(column).copied().unwrap_or_default()
    }

    /// A row: words to the left of their columns, figures to the right.
    pub fn line(&self, cells: &[String; COUNT]) -> String {
        let columns = cells.iter().zip(self.widths).zip(self.words);
        let cells = columns.map(|((cell, width), is_word)| match is_word {
            true => format!("{cell:width$}"),
            false => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_to_the_left_and_figures_to_the_right() {
        let rows = [["a", "1"], ["b\u{e9}c", "1000"]].map(|row| row.map(str::to_owned));
        let columns = Columns::of(["name", "n"], &rows, &[0]);
        let lines = rows.each_ref().map(|row| columns.line(row));
        assert_eq!(lines, ["a        1", "b\u{e9}c   1000"]);
        assert_eq!((columns.width(0), columns.width(1)), (4, 4));
    }
}
