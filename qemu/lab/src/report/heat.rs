// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A heat map: where and when something happened, the darker the more of it.

use std::collections::BTreeMap;

use super::picture::{Anchor, Colour, Picture};
use super::scale::Scale;

const WIDTH: f64 = 560.0;
const PLOT: (f64, f64) = (84.0, WIDTH - 12.0);
const TOP: f64 = 12.0;
const BOTTOM: f64 = 300.0;
/// The strip beside the map.
const STRIP: (f64, f64) = (64.0, 14.0);
const ROWS: u64 = 64;
const COLUMNS: u64 = 48;
const TICKS: u32 = 5;
/// What happened once is to be seen beside what happened most often.
const FAINTEST: f64 = 0.15;

/// What happened, of things that are numbered.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// How many things there are.
    pub things: u64,
    /// The time that is shown, in nanoseconds.
    pub time_ns: u64,
    /// Things that the strip beside the map shows, whenever.
    pub marked: Vec<u64>,
    /// Each with a thing and the time when something happened to it, in nanoseconds.
    pub happened: Vec<(u64, u64)>,
    /// Of the map.
    pub colour: Colour,
}

/// Draws a map; things go up, time goes right.
pub fn heat(title: &str, (things, time): (&str, &str), map: &HeatMap) -> Picture {
    let mut picture = Picture::new(title, WIDTH, BOTTOM + 44.0);
    let (last, end) = (map.things.max(1), map.time_ns.max(1));
    let rows = last.min(ROWS);
    let cell = |value: u64, of: u64, cells: u64| {
        let wide = u128::from(value.min(of - 1)) * u128::from(cells) / u128::from(of);
        u64::try_from(wide).unwrap_or(cells - 1)
    };
    let row_of = |thing: u64| cell(thing, last, rows);
    let up = Scale::new((0.0, approximate(rows)), (BOTTOM, TOP));
    let height = up.at(0.0) - up.at(1.0);
    let strip = counts(map.marked.iter().map(|thing| (row_of(*thing), 0)));
    for ((row, _), shade) in shades(&strip) {
        let place = (STRIP.0, up.at(approximate(row + 1)));
        picture.shade(place, (STRIP.1, height), Colour(0), shade);
    }
    let across = Scale::new((0.0, approximate(COLUMNS)), PLOT);
    let width = across.at(1.0) - across.at(0.0);
    let happened = map.happened.iter();
    let cells = counts(happened.map(|(thing, at)| (row_of(*thing), cell(*at, end, COLUMNS))));
    for ((row, column), shade) in shades(&cells) {
        let place = (across.at(approximate(column)), up.at(approximate(row + 1)));
        picture.shade(place, (width, height), map.colour, shade);
    }
    let up = Scale::new((0.0, approximate(last)), (BOTTOM, TOP));
    for value in up.ticks(TICKS) {
        picture.text(
            (STRIP.0 - 6.0, up.at(value) + 4.0),
            Anchor::End,
            "quiet",
            &format!("{value:.0}"),
        );
    }
    let seconds = Scale::new((0.0, approximate(end) / 1e9), PLOT);
    for value in seconds.ticks(TICKS) {
        let x = seconds.at(value);
        picture.line((x, BOTTOM), (x, BOTTOM + 4.0), "axis");
        let words = format!("{} s", (value * 100.0).round() / 100.0);
        picture.text((x, BOTTOM + 18.0), Anchor::Middle, "quiet", &words);
    }
    picture.line((PLOT.0, BOTTOM), (PLOT.1, BOTTOM), "axis");
    picture.text((PLOT.1, BOTTOM + 36.0), Anchor::End, "quiet", time);
    picture.text((2.0, BOTTOM + 36.0), Anchor::Begin, "quiet", things);
    picture
}

/// How often each cell, a row and a column, is there.
fn counts(cells: impl Iterator<Item = (u64, u64)>) -> BTreeMap<(u64, u64), u64> {
    let mut counts = BTreeMap::new();
    cells.for_each(|cell| *counts.entry(cell).or_default() += 1);
    counts
}

/// Each cell with how dark it is.
fn shades(counts: &BTreeMap<(u64, u64), u64>) -> impl Iterator<Item = ((u64, u64), f64)> {
    let most = approximate(counts.values().copied().max().unwrap_or(1));
    let shade = move |count| FAINTEST + (1.0 - FAINTEST) * approximate(count) / most;
    counts
        .iter()
        .map(move |(cell, count)| (*cell, shade(*count)))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a place in a picture need not be exact"
)]
fn approximate(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(things: u64, marked: &[u64], happened: &[(u64, u64)]) -> String {
        let map = HeatMap {
            things,
            time_ns: 4_800_000_000,
            marked: marked.to_vec(),
            happened: happened.to_vec(),
            colour: Colour(6),
        };
        heat("t", ("page", "time"), &map).file()
    }

    #[test]
    fn what_happens_often_is_dark_and_what_happened_once_is_seen() {
        let second = 1_000_000_000;
        let happened = [(0, 0), (1, 0), (63, second), (4095, 4_800_000_000)];
        let text = drawn(4096, &[0, 4095], &happened);
        let rects = text.matches("<rect").count();
        // Two rows of the strip; the first two pages in one cell, the third in another of that row, the last at the end.
        assert_eq!(rects, 2 + 3, "{text}");
        assert_eq!(
            text.matches("class=\"c6\" fill-opacity=\"1.00\"").count(),
            1
        );
        // Once is half of twice, and more than nothing.
        assert_eq!(
            text.matches("class=\"c6\" fill-opacity=\"0.57\"").count(),
            2,
            "{text}"
        );
        assert!(
            text.contains(">4000</text>") && text.contains(">4 s</text>"),
            "{text}"
        );
    }

    #[test]
    fn nothing_and_what_lies_outside_are_no_trouble() {
        assert_eq!(drawn(0, &[], &[]).matches("<rect").count(), 0);
        let outside = drawn(3, &[9], &[(u64::MAX, u64::MAX)]);
        assert_eq!(outside.matches("<rect").count(), 2, "{outside}");
        assert!(!outside.contains("NaN"), "{outside}");
    }
}
