// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the lab's program is.

use std::path::{Path, PathBuf};

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
