// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Reads the configuration file and says where in it something is wrong.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use super::Config;

/// Largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("The configuration file {} cannot be read", .path.display())]
    Read {
        /// The file's path as it was given.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No device can be made of the flags and the defaults.
    #[error("{0}")]
    Device(String),
    /// Something in the file is wrong.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    At {
        /// The file's path as it was given.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
}

/// A configuration file and its text, kept to point into it.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
}

impl ConfigFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let read_error = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read_error)?;
        let mut text = String::new();
        // What is no regular file does not tell its size.
        let bytes = file
            .take(MAX_FILE_BYTES.saturating_add(1))
            .read_to_string(&mut text)
            .map_err(read_error)?;
        if u64::try_from(bytes).is_ok_and(|bytes| bytes <= MAX_FILE_BYTES) {
            let path = path.to_owned();
            Ok(Self { path, text })
        } else {
            Err(read_error(io::ErrorKind::FileTooLarge.into()))
        }
    }

    /// Parses the file.
    ///
    /// # Errors
    /// When it is no TOML, or has an unknown key or a bad value.
    pub fn parse(&self) -> Result<Config, ConfigError> {
        self.parse_as()
    }

    /// The file as it is written, with nothing filled in.
    ///
    /// # Errors
    /// When it is no TOML.
    pub fn table(&self) -> Result<toml::Table, ConfigError> {
        self.parse_as()
    }

    fn parse_as<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(&self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            self.error_at(start, in_plain_words(error.message()))
        })
    }

    /// The error that something is wrong with the key at the first of these `paths` that the file
    /// spells out, or else near the first one. The steps of a path are keys and indices.
    pub fn error_in(&self, paths: &[&[&str]], message: String) -> ConfigError {
        let mut places = paths.iter().map(|path| self.place_of(path));
        let first = places.next();
        let spelled_out = first.into_iter().chain(places).find(|place| place.is_whole);
        let place = spelled_out.or(first);
        self.error_at(place.map_or(0, |place| place.start), message)
    }

    fn error_at(&self, offset: usize, message: String) -> ConfigError {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end.saturating_add(1));
        let in_line = before.get(line_start..).unwrap_or_default();
        ConfigError::At {
            path: self.path.clone(),
            line: before.matches('\n').count().saturating_add(1),
            column: in_line.chars().count().saturating_add(1),
            message,
        }
    }

    /// Where the last step of `path` that exists starts.
    fn place_of(&self, path: &[&str]) -> Place {
        let mut place = Place::default();
        let Ok(document) = DeTable::parse(&self.text) else {
            return place;
        };
        let Some((first, rest)) = path.split_first() else {
            return place;
        };
        let Some(mut value) = document.get_ref().get(*first) else {
            return place;
        };
        for step in rest {
            let next = match value.get_ref() {
                DeValue::Array(array) => {
                    step.parse().ok().and_then(|index: usize| array.get(index))
                }
                DeValue::Table(table) => table.get(*step),
                _ => None,
            };
            place.start = value.span().start;
            match next {
                Some(next) => value = next,
                None => return place,
            }
        }
        Place {
            start: value.span().start,
            is_whole: true,
        }
    }
}

/// A place in the file.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Bytes of the file before it.
    start: usize,
    /// The file spells out all of the path to it.
    is_whole: bool,
}

/// What the parser says, in the words of this program.
fn in_plain_words(message: &str) -> String {
    if message == "duplicate key" {
        return "this key is there already; leave one of them".to_owned();
    }
    let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.split_once(", expected "))
    else {
        return message.to_owned();
    };
    let found = match found.split_once([' ', '`']).map_or(found, |(kind, _)| kind) {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "boolean" => found.replace("boolean ", "").replace('`', ""),
        "string" => found.replacen("string", "the text", 1),
        "integer" | "floating" => {
            let digits = found.split('`').nth(1).unwrap_or(found);
            format!("the number {digits}")
        }
        _ => found.to_owned(),
    };
    match (found.as_str(), expected) {
        ("a table", "a sequence") => "this is one table, where there is a list of them; write its \
                                      name in double brackets, as in [[block]]"
            .to_owned(),
        (found, "a sequence") => format!("this is {found}; write a list, as in [1, 2]"),
        (found, "a boolean") => format!("this is {found}; write true or false"),
        (found, expected) if expected.starts_with("struct ") => {
            format!("this is {found}; write a table of keys and values")
        }
        (found, expected) => format!("this is {found}; write {expected}"),
    }
}
