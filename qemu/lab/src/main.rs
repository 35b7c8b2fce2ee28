// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab`: runs the project's guests and tests.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let ran = Command::new("cargo").args(["nextest", "run", "--workspace"]).status();
    match ran {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
