// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The lab's program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

/// The lab that runs the tests, or the one beside this test.
///
/// # Errors
/// When there is neither.
pub fn lab_program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHMU_LAB") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent);
    let program = folder
        .context("The test is in no target folder")?
        .join("chmu-lab");
    ensure!(
        program.exists(),
        "{} is missing; build it with `cargo build -p chmu-lab`",
        program.display()
    );
    Ok(program)
}

/// Runs `cargo lab run` with these options to its end.
///
/// # Errors
/// When the lab cannot be started.
pub fn lab_run(options: &[&str]) -> Result<Output> {
    Command::new(lab_program()?)
        .arg("run")
        .args(options)
        .output()
        .context("Cannot start the lab")
}
