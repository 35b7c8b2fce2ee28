// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The log: what goes where, and how errors are written into it.

mod sink;

use std::error::Error;
use std::io::{self, IsTerminal};
use std::iter;
use std::path::{Path, PathBuf};

pub(crate) use sink::Sink;

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("The log file {} cannot be opened", .path.display())]
    File {
        /// The file's path as it was given.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Starts the log on stderr, or at the end of `file`. `verbose` counts from warnings (0) to
/// everything (3); `RUST_LOG` overrides it. Lines that cannot be written at once are dropped.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(verbose: u8, file: Option<&Path>) -> Result<(), LogError> {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let sink = match file {
        Some(path) => Sink::append_to(path).map_err(|source| LogError::File {
            path: path.to_owned(),
            source,
        })?,
        None => Sink::standard_error(),
    };
    let environment = env_logger::Env::default().default_filter_or(level);
    let mut builder = env_logger::Builder::from_env(environment);
    builder.format_target(false);
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if file.is_none() && io::stderr().is_terminal() && !no_color {
        builder.write_style(env_logger::WriteStyle::Always);
    }
    builder.target(env_logger::Target::Pipe(Box::new(sink)));
    builder.init();
    Ok(())
}

/// Says on stderr why the process ends: the causes as numbered lines. A reader that takes nothing
/// misses it.
pub fn say_causes(error: &anyhow::Error) {
    let mut sink = Sink::standard_error();
    for (number, cause) in error.chain().enumerate() {
        sink.put(format!("{number}: {cause}\n").as_bytes());
    }
}

/// An error and its sources on one line, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let errors = iter::successors(Some(error), |error: &&dyn Error| (*error).source());
    let texts: Vec<_> = errors.map(ToString::to_string).collect();
    texts.join(": ")
}
