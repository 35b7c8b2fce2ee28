// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Figures side by side: a bar for each, in groups.

use super::picture::{Anchor, Colour, Picture};
use super::scale::Scale;

const WIDTH: f64 = 560.0;
const PLOT: (f64, f64) = (124.0, WIDTH - 134.0);
const ROW: f64 = 22.0;
const BAR: f64 = 13.0;
const HEAD: f64 = 26.0;
const TICKS: u32 = 4;

/// A figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Whose it is.
    pub name: String,
    /// Its colour.
    pub colour: Colour,
    /// The figure; nothing is drawn where there is none.
    pub value: Option<f64>,
    /// The least and the most of several, where they differ.
    pub spread: Option<(f64, f64)>,
    /// As much of it is wrong.
    pub wrong: f64,
    /// What is said beside the bar.
    pub words: String,
}

/// Bars that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they are about; empty where that is said elsewhere.
    pub name: String,
    /// One below the other.
    pub bars: Vec<Bar>,
}

/// Draws bars from 0 on, to the left where a figure is below 0. The axis goes to `most` at least, and its values are
/// said in words by `words`.
pub fn bars(title: &str, groups: &[Group], most: f64, words: impl Fn(f64) -> String) -> Picture {
    #[expect(clippy::cast_precision_loss)]
    let rows = groups.iter().map(|group| group.bars.len()).sum::<usize>() as f64;
    #[expect(clippy::cast_precision_loss)]
    let heads = groups.iter().filter(|group| !group.name.is_empty()).count() as f64;
    let bottom = rows * ROW + heads * HEAD + 6.0;
    let mut picture = Picture::new(title, WIDTH, bottom + 24.0);
    let scale = scale(groups, most);
    for value in scale.ticks(TICKS) {
        let x = scale.at(value);
        picture.line((x, 4.0), (x, bottom), "grid");
        picture.text((x, bottom + 16.0), Anchor::Middle, "quiet", &words(value));
    }
    let mut y = 4.0;
    for group in groups {
        if !group.name.is_empty() {
            picture.text((2.0, y + 17.0), Anchor::Begin, "group", &group.name);
            y += HEAD;
        }
        for bar in &group.bars {
            draw(&mut picture, &scale, bar, y);
            y += ROW;
        }
    }
    let zero = scale.at(0.0);
    picture.line((zero, 4.0), (zero, bottom), "axis");
    picture
}

fn scale(groups: &[Group], most: f64) -> Scale {
    let bars = groups.iter().flat_map(|group| &group.bars);
    let figures = bars.flat_map(|bar| {
        let (least, most) = bar.spread.unzip();
        [bar.value, least, most].into_iter().flatten()
    });
    let figures = figures.filter(|one| one.is_finite());
    let (least, most) = figures.fold((0.0_f64, most), |(least, most), one| {
        (least.min(one), most.max(one))
    });
    Scale::new((least, most), PLOT)
}

fn draw(picture: &mut Picture, scale: &Scale, bar: &Bar, y: f64) {
    let middle = y + ROW / 2.0;
    picture.text(
        (PLOT.0 - 8.0, middle + 4.0),
        Anchor::End,
        "label",
        &bar.name,
    );
    let zero = scale.at(0.0);
    if let Some(value) = bar.value {
        let end = scale.at(value);
        let place = (zero.min(end), middle - BAR / 2.0);
        picture.rectangle(place, ((end - zero).abs(), BAR), &bar.colour.to_string());
        if bar.wrong > 0.0 {
            let wrong = scale.at(bar.wrong.min(value));
            let width = (wrong - zero).max(1.0);
            picture.rectangle((end - width, middle - BAR / 2.0), (width, BAR), "wrong");
        }
    }
    if let Some((least, most)) = bar.spread.filter(|(least, most)| least < most) {
        let [least, most] = [least, most].map(|one| scale.at(one));
        picture.line((least, middle), (most, middle), "whisker");
        for x in [least, most] {
            picture.line((x, middle - 4.0), (x, middle + 4.0), "whisker");
        }
    }
    picture.text(
        (PLOT.1 + 8.0, middle + 4.0),
        Anchor::Begin,
        "quiet",
        &bar.words,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, value: Option<f64>, wrong: f64) -> Bar {
        Bar {
            name: name.to_owned(),
            colour: Colour(3),
            value,
            spread: value.map(|value| (value - 0.1, value + 0.1)),
            wrong,
            words: format!("{value:?}"),
        }
    }

    #[test]
    fn what_is_below_nothing_goes_to_the_left_and_what_is_not_there_is_said() {
        let groups = [Group {
            name: "zipf".to_owned(),
            bars: vec![
                bar("good", Some(1.0), 0.25),
                bar("bad", Some(-0.9), 0.0),
                bar("gone", None, 0.0),
            ],
        }];
        let text = bars("t", &groups, 1.0, |one| format!("{one:.1}")).file();
        // From -1.0 to 1.1 in 302.
        assert!(
            text.contains(
                "<rect x=\"267.8\" y=\"34.5\" width=\"143.8\" height=\"13.0\" class=\"c3\"/>"
            ),
            "{text}"
        );
        assert!(
            text.contains("<rect x=\"138.4\" y=\"56.5\" width=\"129.4\""),
            "{text}"
        );
        assert!(
            text.contains("width=\"36.0\" height=\"13.0\" class=\"wrong\""),
            "{text}"
        );
        assert_eq!(text.matches("<rect").count(), 3);
        assert!(
            text.contains(">gone</text>") && text.contains(">None</text>"),
            "{text}"
        );
    }
}
