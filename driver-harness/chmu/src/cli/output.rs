// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Results on stdout: nothing but data, for people or for programs.

use std::fmt::Display;
use std::io;

use chmu::program::{self, OutputError};
use serde::Serialize;

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Human,
    /// For programs, as JSON.
    Json,
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Output {
    /// The form of the result on stdout.
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_enum,
        default_value = "human"
    )]
    format: Format,
    /// For people, as without any option: the same as --output human.
    #[arg(short = 'u', long, conflicts_with = "format")]
    human: bool,
}

impl Format {
    pub(super) fn print<T: Serialize + Display>(self, result: &T) -> Result<(), OutputError> {
        match self {
            Format::Json => program::print(json(result)?),
            Format::Human => program::print(result),
        }
    }
}

impl Output {
    /// The form that was asked for, by either option.
    pub(super) fn format(self) -> Format {
        match self.human {
            true => Format::Human,
            false => self.format,
        }
    }

    pub(super) fn print<T: Serialize + Display>(self, result: &T) -> Result<(), OutputError> {
        self.format().print(result)
    }
}

/// A result as JSON.
pub(super) fn json<T: Serialize>(result: &T) -> Result<String, OutputError> {
    serde_json::to_string_pretty(result).map_err(|error| OutputError::from(io::Error::other(error)))
}
