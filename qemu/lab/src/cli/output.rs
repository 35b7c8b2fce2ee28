// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a verb prints on stdout.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs: one JSON value.
    Json,
}

impl Format {
    /// Prints a result in this form.
    ///
    /// # Errors
    /// When stdout does not take it.
    pub(super) fn print<T: Serialize + Display>(self, result: &T) -> io::Result<()> {
        let text = match self {
            Self::Human => result.to_string(),
            Self::Json => serde_json::to_string_pretty(result).map_err(io::Error::other)?,
        };
        writeln!(io::stdout(), "{}", text.trim_end())
    }
}
