// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab test`.

use std::process::ExitCode;

use chmu_lab::test_run::{self, TestRun};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Words for the test runner: a test's name, or a filter of cargo-nextest.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORD"
    )]
    arguments: Vec<String>,
}

pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let test_run = TestRun {
        arguments: options.arguments,
    };
    Ok(match test_run::run(&test_run)? {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(TESTS_FAILED),
    })
}

/// As cargo-nextest has it.
const TESTS_FAILED: u8 = 100;
