// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a bench needs beside the lab's programs: work for the guest, and a plugin that does nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::platform::GuestFile;

const WORK: &str = include_str!("../../bench/work.rs");
const EMPTY_PLUGIN: &str = include_str!("../../bench/empty_plugin.rs");

/// Where the guest's image has the work.
pub(super) const PLACE: &str = "work";

/// Built, in a folder that goes with this.
#[derive(Debug)]
pub struct BenchPrograms {
    _folder: tempfile::TempDir,
    work: Vec<u8>,
    /// What any plugin that looks at accesses costs at least.
    pub(super) empty_plugin: PathBuf,
}

impl BenchPrograms {
    /// Builds them with rustc.
    ///
    /// # Errors
    /// When that is not there.
    pub fn build() -> Result<Self> {
        let folder = tempfile::tempdir().context("Cannot make a temporary folder")?;
        let work = compile(folder.path(), "work", WORK, "-Ctarget-feature=+crt-static")?;
        let empty_plugin = compile(folder.path(), "empty", EMPTY_PLUGIN, "--crate-type=cdylib")?;
        Ok(Self {
            work: fs::read(&work).with_context(|| format!("Cannot read {}", work.display()))?,
            empty_plugin,
            _folder: folder,
        })
    }

    /// What the guest's image must have.
    pub fn guest_file(&self) -> GuestFile {
        GuestFile::program(PLACE, self.work.clone())
    }
}

fn compile(folder: &Path, name: &str, text: &str, option: &str) -> Result<PathBuf> {
    let (source, built) = (folder.join(name).with_extension("rs"), folder.join(name));
    fs::write(&source, text).with_context(|| format!("Cannot write {}", source.display()))?;
    let output = Command::new("rustc")
        .args(["--edition=2024", "-O", option, "-o"])
        .args([&built, &source])
        .output()
        .context("Cannot run rustc; a bench builds its programs with it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "rustc cannot build the bench's {name}: {said}"
    );
    Ok(built)
}
