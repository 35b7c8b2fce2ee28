// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A page about a run: one file that needs no network, for light and dark, wide and narrow screens.

mod bars;
mod heat;
mod lines;
mod machine;
mod picture;
mod scale;

use minijinja::{Environment, Value, context};

pub use bars::{Bar, Group, bars};
pub use heat::{HeatMap, heat};
pub use lines::{Line, lines};
pub use machine::machine_section;
pub use picture::{Colour, Picture};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// What a page says.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Of the page.
    pub title: String,
    /// Nothing went wrong.
    pub is_good: bool,
    /// What came of it, in a sentence.
    pub verdict: String,
    /// What repeats it.
    pub command: String,
    /// Below one another.
    pub sections: Vec<Section>,
}

/// A part of a page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Section {
    /// Above it.
    pub title: String,
    /// How to read it.
    pub text: String,
    /// Side by side where there is room.
    pub pictures: Vec<Picture>,
    /// Below the pictures.
    pub table: Option<Table>,
}

/// Rows of cells; readers sort them by a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Above the columns.
    pub heads: Vec<String>,
    /// Below one another, as many cells in each as there are heads.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Names and what belongs to them.
    pub fn of_pairs(heads: [&str; 2], pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            heads: heads.map(str::to_owned).to_vec(),
            rows: pairs
                .into_iter()
                .map(|(name, value)| vec![name, value])
                .collect(),
        }
    }

    fn context(&self) -> Value {
        context! { heads => self.heads.clone(), rows => self.rows.clone() }
    }
}

impl Page {
    /// The page as HTML.
    ///
    /// # Errors
    /// When the template makes no sense.
    pub fn html(&self) -> Result<String, minijinja::Error> {
        let mut templates = Environment::new();
        templates.add_template("page.html", TEMPLATE)?;
        let sections = self.sections.iter().map(|section| {
            let pictures = section.pictures.iter().map(|picture| {
                let drawing = Value::from_safe_string(picture.element());
                context! { title => picture.title(), drawing => drawing }
            });
            context! {
                title => section.title.clone(),
                text => section.text.clone(),
                pictures => pictures.collect::<Vec<_>>(),
                table => section.table.as_ref().map(Table::context),
            }
        });
        let style = format!("{STYLE}{}", picture::PICTURE_STYLE);
        templates.get_template("page.html")?.render(context! {
            title => self.title.clone(),
            is_good => self.is_good,
            verdict => self.verdict.clone(),
            command => self.command.clone(),
            sections => sections.collect::<Vec<_>>(),
            style => Value::from_safe_string(style),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_names_is_never_markup() {
        let nasty = "</script><img id=x>";
        let page = Page {
            title: nasty.to_owned(),
            is_good: false,
            verdict: nasty.to_owned(),
            command: nasty.to_owned(),
            sections: vec![Section {
                title: nasty.to_owned(),
                text: nasty.to_owned(),
                pictures: vec![Picture::new(nasty, 1.0, 1.0)],
                table: Some(Table::of_pairs(
                    [nasty, nasty],
                    [(nasty.to_owned(), nasty.to_owned())],
                )),
            }],
        };
        let html = page.html().unwrap();
        assert!(!html.contains("<img"), "{html}");
        assert_eq!(html.matches("<svg").count(), 1);
        // One file: nothing is loaded from elsewhere.
        assert!(!html.contains(" src=") && !html.contains("url("), "{html}");
        assert!(!html.contains("<link"), "{html}");
    }
}
