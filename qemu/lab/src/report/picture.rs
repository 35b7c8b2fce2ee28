// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A drawing as SVG. Colours are classes, so that a page and the reader's light or dark choose them.

use std::fmt::{self, Write};

use minijinja::HtmlEscape;

/// Colours that lines and bars can have; [`PICTURE_STYLE`] says which.
const COLOURS: usize = 10;
/// What a picture looks like on a page, and alone.
pub(super) const PICTURE_STYLE: &str = include_str!("picture.css");

/// One of the colours; there are ten, which come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub usize);

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0 % COLOURS)
    }
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    title: String,
    width: f64,
    height: f64,
    body: String,
}

/// Where a text begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Begin,
    Middle,
    End,
}

impl Picture {
    pub(super) fn new(title: &str, width: f64, height: f64) -> Self {
        Self {
            title: title.to_owned(),
            width,
            height,
            body: String::new(),
        }
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.add(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        ));
    }

    pub(super) fn rectangle(&mut self, place: (f64, f64), size: (f64, f64), class: &str) {
        let ((x, y), (width, height)) = (place, size);
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\"/>"
        ));
    }

    /// A rectangle through which what is behind it shows, the less the more `shade` is, from 0 to 1.
    pub(super) fn shade(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        colour: Colour,
        shade: f64,
    ) {
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{colour}\" \
             fill-opacity=\"{shade:.2}\"/>"
        ));
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let mut data = String::new();
        for (place, (x, y)) in points.iter().enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(data, "{command}{x:.1} {y:.1}");
        }
        self.add(format_args!("<path d=\"{data}\" class=\"{class}\"/>"));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Begin => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        ));
    }

    fn add(&mut self, element: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }

    /// What it shows.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// For a page that has [`PICTURE_STYLE`].
    pub(super) fn element(&self) -> String {
        self.with_style("")
    }

    /// As a file of its own.
    pub fn file(&self) -> String {
        self.with_style(&format!("<style>{PICTURE_STYLE}</style>\n"))
    }

    fn with_style(&self, style: &str) -> String {
        let Self {
            width,
            height,
            body,
            ..
        } = self;
        let title = escape(&self.title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" class=\"picture\" \
             role=\"img\" aria-label=\"{title}\">\n{style}{body}</svg>\n"
        )
    }
}

/// A text in which nothing is markup, without what no document may have, not even as references.
fn escape(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    HtmlEscape(&text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_never_markup() {
        let mut picture = Picture::new("a \"b\" <c>", 10.0, 20.0);
        picture.text((1.0, 2.0), Anchor::End, "label", "<script>\u{1b}&");
        let file = picture.file();
        assert!(!file.contains("<script"), "{file}");
        assert!(file.contains("&lt;script&gt; &amp;"), "{file}");
        assert!(
            file.contains("aria-label=\"a &quot;b&quot; &lt;c&gt;\""),
            "{file}"
        );
        assert_eq!(Colour(13).to_string(), "c3");
    }
}
