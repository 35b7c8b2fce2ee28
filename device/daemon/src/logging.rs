// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The log: what goes where, and how errors are written into it.

use std::error::Error;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// The log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("The log file {} cannot be opened", .path.display())]
pub struct LogFileError {
    path: PathBuf,
    source: std::io::Error,
}

/// Starts the log on stderr, or at the end of `file`. `verbose` counts from warnings (0) to
/// everything (3); `RUST_LOG` overrides it.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(verbose: u8, file: Option<&Path>) -> Result<(), LogFileError> {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let environment = env_logger::Env::default().default_filter_or(level);
    let mut builder = env_logger::Builder::from_env(environment);
    builder.format_target(false);
    if let Some(path) = file {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|source| LogFileError {
            path: path.to_owned(),
            source,
        })?;
        builder.target(env_logger::Target::Pipe(Box::new(file)));
    }
    builder.init();
    Ok(())
}

/// An error and its sources on one line, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
