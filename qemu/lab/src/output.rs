// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The form of what the lab prints on stdout.

use std::fmt::Display;
use std::io::{self, Write};

use chmu::program::{self, OutputError};
use serde::Serialize;

/// For whom a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs: one JSON value.
    Json,
}

impl Format {
    /// Prints a result in this form on stdout.
    ///
    /// # Errors
    /// When stdout does not take it.
    pub fn print<T: Serialize + Display>(self, result: &T) -> Result<(), OutputError> {
        match self {
            Self::Human => program::print(result),
            Self::Json => {
                let text = serde_json::to_string_pretty(result).map_err(io::Error::other)?;
                program::print(text)
            }
        }
    }
}

/// Passes on what another program wrote to its two outputs, as it is.
///
/// # Errors
/// When stdout does not take it.
pub fn pass_on(out: &str, err: &str) -> Result<(), OutputError> {
    // Whoever closed stderr does not want to know.
    let _ = write!(io::stderr(), "{err}");
    let mut stdout = io::stdout();
    stdout.write_all(out.as_bytes())?;
    Ok(stdout.flush()?)
}
