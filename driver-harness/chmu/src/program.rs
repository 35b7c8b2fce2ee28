// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the project's command-line programs have in common: the command line, the log, results, and
//! the last words.
//!
//! Nothing here panics when an output fails. Results are on stdout: when they cannot be written
//! there, that is a failure, unless nobody reads them any more, which ends a program quietly, after
//! it has put everything back. All else is on stderr, and is lost where that does not work.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use log::LevelFilter;

/// What shells say of a program that SIGPIPE ended.
const CLOSED_PIPE: u8 = 141;

/// A result cannot be written to stdout.
#[derive(Debug, thiserror::Error)]
#[error("The result cannot be written to stdout")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether nobody reads the output any more, as behind `| head`.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// The command line; a code to end with when it is wrong or asks for help only.
pub fn parse_arguments<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        let printed = error.print();
        match (error.use_stderr(), printed) {
            (false, Err(failure)) => last_words(&OutputError::from(failure).into()),
            _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX)),
        }
    })
}

/// Logs go to stderr; `RUST_LOG` overrides the level that `-v` asks for.
pub fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let wish = std::env::var(env_logger::DEFAULT_FILTER_ENV).ok();
    let (kept, strange) = filters(wish.as_deref().unwrap_or(level));
    env_logger::Builder::new()
        .parse_filters(&kept)
        .parse_write_style(&std::env::var(env_logger::DEFAULT_WRITE_STYLE_ENV).unwrap_or_default())
        .format_target(false)
        .init();
    for filter in strange {
        log::warn!("RUST_LOG names {filter:?}, which is no filter and is left out");
    }
}

/// The filters that the log understands, and the others: what it does not understand it prints
/// with a function that panics when stderr is closed.
fn filters(wish: &str) -> (String, Vec<&str>) {
    let (directives, pattern) = wish.split_once('/').unwrap_or((wish, ""));
    let is_directive = |directive: &&str| match directive.split_once('=') {
        None => true,
        Some((_, level)) => {
            let level = level.trim();
            level.is_empty() || level.parse::<LevelFilter>().is_ok()
        }
    };
    let (kept, mut strange): (Vec<_>, Vec<_>) = directives.split(',').partition(is_directive);
    let kept = kept.join(",");
    match pattern {
        "" => (kept, strange),
        pattern if pattern.contains('/') => {
            strange.push(pattern);
            (kept, strange)
        }
        pattern => (format!("{kept}/{pattern}"), strange),
    }
}

/// Writes a result to stdout, as lines.
pub fn print(result: impl Display) -> Result<(), OutputError> {
    let text = result.to_string();
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.trim_end().as_bytes())?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

/// Says something that is no result, on stderr.
pub fn say(line: impl Display) {
    // Whoever closed stderr does not want to know.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints the chain of causes on stderr, one numbered line each.
pub fn print_error(error: &anyhow::Error) {
    for (number, cause) in error.chain().enumerate() {
        say(format_args!("{number}: {cause}"));
    }
}

/// Says why a program fails, and the code it ends with.
pub fn last_words(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::from(CLOSED_PIPE);
    }
    print_error(error);
    ExitCode::FAILURE
}

/// Whether the reason is that nobody reads the results any more: nothing to complain about.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let causes = error.chain();
    let mut outputs = causes.filter_map(|cause| cause.downcast_ref::<OutputError>());
    outputs.any(OutputError::is_closed_pipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let output = Err::<(), _>(OutputError::from(closed()));
        assert!(is_closed_pipe(&output.context("Cannot print").unwrap_err()));
        // A device that hangs up is one.
        assert!(!is_closed_pipe(&closed().into()));
    }

    #[test]
    fn filters_that_the_log_does_not_know_are_told_apart() {
        let (kept, strange) = filters("debug,chmu=trace,a=b=c,x=loud,y=,");
        assert_eq!(kept, "debug,chmu=trace,y=,");
        assert_eq!(strange, ["a=b=c", "x=loud"]);
        assert_eq!(filters("info/unit"), ("info/unit".into(), vec![]));
        assert_eq!(filters("info/a/b"), ("info".into(), vec!["a/b"]));
    }
}
