// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Shares over what was done: a line for each of several.

use super::picture::{Anchor, Colour, Picture};
use super::scale::Scale;

const WIDTH: f64 = 560.0;
const PLOT: (f64, f64) = (50.0, WIDTH - 12.0);
const TOP: f64 = 12.0;
const BOTTOM: f64 = 230.0;
const NAMES_IN_A_ROW: usize = 3;
const ROW: f64 = 20.0;
const TICKS: u32 = 5;

/// A line of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Its colour.
    pub colour: Colour,
    /// A bound rather than something that was tried.
    pub is_bound: bool,
    /// Each with what was done by then, and a share.
    pub points: Vec<(f64, f64)>,
}

/// Draws lines; shares are from 0 to 1, and what is done is said in words by `done`.
pub fn lines(title: &str, axis: &str, lines: &[Line], done: impl Fn(f64) -> String) -> Picture {
    #[expect(clippy::cast_precision_loss)]
    let rows = lines.len().div_ceil(NAMES_IN_A_ROW) as f64;
    let mut picture = Picture::new(title, WIDTH, BOTTOM + 44.0 + rows * ROW);
    let points = lines.iter().flat_map(|line| &line.points);
    let most = points.map(|(x, _)| *x).fold(0.0, f64::max);
    let across = Scale::new((0.0, most), PLOT);
    let up = Scale::new((0.0, 1.0), (BOTTOM, TOP));
    for share in up.ticks(TICKS) {
        let y = up.at(share);
        picture.line((PLOT.0, y), (PLOT.1, y), "grid");
        let words = format!("{:.0} %", share * 100.0);
        picture.text((PLOT.0 - 6.0, y + 4.0), Anchor::End, "quiet", &words);
    }
    for value in across.ticks(TICKS) {
        let x = across.at(value);
        picture.line((x, BOTTOM), (x, BOTTOM + 4.0), "axis");
        picture.text((x, BOTTOM + 18.0), Anchor::Middle, "quiet", &done(value));
    }
    picture.line((PLOT.0, BOTTOM), (PLOT.1, BOTTOM), "axis");
    picture.text((PLOT.1, BOTTOM + 36.0), Anchor::End, "quiet", axis);
    for line in lines {
        let points = line.points.iter();
        let points: Vec<_> = points.map(|(x, y)| (across.at(*x), up.at(*y))).collect();
        picture.path(&points, &class(line));
    }
    for (place, line) in lines.iter().enumerate() {
        name(&mut picture, place, line);
    }
    picture
}

fn class(line: &Line) -> String {
    let dashed = if line.is_bound { " dashed" } else { "" };
    format!("{}{dashed}", line.colour)
}

/// Below the picture.
fn name(picture: &mut Picture, place: usize, line: &Line) {
    #[expect(clippy::cast_precision_loss)]
    let [column, row] = [place % NAMES_IN_A_ROW, place / NAMES_IN_A_ROW].map(|one| one as f64);
    let width = (PLOT.1 - PLOT.0) / 3.0;
    let (x, y) = (PLOT.0 + column * width, BOTTOM + 54.0 + row * ROW);
    picture.line((x, y), (x + 20.0, y), &class(line));
    picture.text((x + 26.0, y + 4.0), Anchor::Begin, "label", &line.name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_drawn_and_named() {
        let line = |name: &str, colour, points: &[(f64, f64)]| Line {
            name: name.to_owned(),
            colour: Colour(colour),
            is_bound: colour == 0,
            points: points.to_vec(),
        };
        let all = [
            line("none", 0, &[(0.0, 1.0), (100.0, 1.0)]),
            line("chmu", 6, &[(0.0, 1.0), (100.0, 0.0)]),
            line("nothing", 7, &[]),
        ];
        let text = lines("t", "lines", &all, |one| format!("{one:.0}")).file();
        assert!(
            text.contains("<path d=\"M50.0 12.0L548.0 12.0\" class=\"c0 dashed\"/>"),
            "{text}"
        );
        assert!(
            text.contains("<path d=\"M50.0 12.0L548.0 230.0\" class=\"c6\"/>"),
            "{text}"
        );
        for name in ["none", "chmu", "nothing"] {
            assert!(text.contains(&format!(">{name}</text>")), "{text}");
        }
    }
}
