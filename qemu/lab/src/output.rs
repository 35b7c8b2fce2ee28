// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! All that the lab prints: results on stdout, remarks on stderr. Neither panics.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// For programs: one JSON value.
    Json,
}

/// Why a result did not reach its reader.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The reader has seen enough, as behind `| head`: nothing to complain about.
    #[error("Nobody reads the output any more")]
    Closed,
    /// The output is full or broken.
    #[error("Cannot write the result to the standard output")]
    Failed(#[source] io::Error),
}

impl Format {
    /// Prints a result in this form on stdout.
    ///
    /// # Errors
    /// When stdout does not take it.
    pub fn print<T: Serialize + Display>(self, result: &T) -> Result<(), PrintError> {
        let text = match self {
            Self::Human => result.to_string(),
            Self::Json => serde_json::to_string_pretty(result)
                .map_err(|error| PrintError::Failed(error.into()))?,
        };
        write(&mut io::stdout(), &text)
    }
}

/// Prints a line, or several, on stderr. A stderr that is full or closed is no failure: there is
/// nobody to tell.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints the chain of an error's causes on stderr, one numbered line each.
pub fn note_error(error: &anyhow::Error) {
    for (number, cause) in error.chain().enumerate() {
        note(format_args!("{number}: {cause}"));
    }
}

fn write(output: &mut impl Write, text: &str) -> Result<(), PrintError> {
    let written = writeln!(output, "{}", text.trim_end()).and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => PrintError::Closed,
        _ => PrintError::Failed(error),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn a_result_ends_with_one_line_break() {
        let mut output = Vec::new();
        write(&mut output, "a\nb\n\n").unwrap();
        assert_eq!(output, b"a\nb\n");
    }

    #[test]
    fn a_reader_that_left_is_told_from_a_full_disk() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        let closed = write(&mut writer, "text").unwrap_err();
        assert!(matches!(closed, PrintError::Closed), "{closed}");
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let failed = write(&mut full, "text").unwrap_err();
        assert!(matches!(failed, PrintError::Failed(_)), "{failed}");
    }
}
