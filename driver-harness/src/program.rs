// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the project's command-line programs have in common: the log and the last words.

use std::io;

/// Logs go to stderr; `RUST_LOG` overrides the level that `-v` asks for.
pub fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let environment = env_logger::Env::default().default_filter_or(level);
    env_logger::Builder::from_env(environment)
        .format_target(false)
        .init();
}

/// Prints the chain of causes on stderr, one numbered line each.
pub fn print_error(error: &anyhow::Error) {
    for (number, cause) in error.chain().enumerate() {
        eprintln!("{number}: {cause}");
    }
}

/// Whether nobody reads the output any more, as behind `| head`: nothing to complain about.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().map(io::Error::kind)
    };
    error
        .chain()
        .any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(
            &anyhow::Error::new(closed).context("Cannot print")
        ));
        assert!(!is_closed_pipe(&anyhow::anyhow!("Broken pipe")));
    }
}
