// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A file for a result that takes long: who cannot write there hears of it at once, and what is there stays until there
//! is something new.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Open already.
#[derive(Debug)]
pub(super) struct ResultFile {
    path: PathBuf,
    file: File,
}

impl ResultFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        ensure!(!path.is_dir(), "{} is a folder", path.display());
        let open = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let file = open.with_context(|| format!("Cannot write {}", path.display()))?;
        let path = path.to_owned();
        Ok(Self { path, file })
    }

    /// Takes the place of what was there.
    pub(super) fn write(mut self, text: &str) -> Result<()> {
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.write_all(text.as_bytes()));
        written.with_context(|| format!("Cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_stays_until_there_is_something_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        std::fs::write(&path, "a long old text").unwrap();
        let file = ResultFile::open(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a long old text");
        file.write("new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        for nowhere in [folder.path(), &folder.path().join("no/file")] {
            assert!(ResultFile::open(nowhere).is_err());
        }
    }
}
