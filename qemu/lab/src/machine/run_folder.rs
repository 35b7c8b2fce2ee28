// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The folder of one run: sockets, generated files and logs.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A socket's path has 108 bytes with the final NUL; the longest name in the folder fits in the
/// difference.
const PATH_LIMIT_BYTES: usize = 80;
/// Short on every system.
const LAST_RESORT: &str = "/tmp";

/// A folder that is removed with its content when dropped, unless it was kept.
#[derive(Debug)]
pub(super) struct RunFolder {
    folder: TempDir,
}

impl RunFolder {
    pub(super) fn create() -> Result<Self> {
        let parent = parent();
        let folder = tempfile::Builder::new()
            .prefix("chmu-lab-")
            .tempdir_in(&parent)
            .with_context(|| format!("Cannot make a run folder in {}", parent.display()))?;
        Ok(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }
}

/// The user's runtime folder, else the folder for temporary files, if its path is short.
fn parent() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime
        .into_iter()
        .chain([std::env::temp_dir()])
        .find(|folder| folder.is_absolute() && folder.is_dir() && is_short(folder))
        .unwrap_or_else(|| LAST_RESORT.into())
}

fn is_short(folder: &Path) -> bool {
    folder.as_os_str().as_bytes().len() <= PATH_LIMIT_BYTES - "/chmu-lab-123456".len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_unless_it_was_kept() {
        let folder = RunFolder::create().unwrap();
        let path = folder.path().to_owned();
        assert!(path.as_os_str().len() <= PATH_LIMIT_BYTES);
        drop(folder);
        assert!(!path.exists());
        let mut folder = RunFolder::create().unwrap();
        folder.keep();
        let path = folder.path().to_owned();
        drop(folder);
        std::fs::remove_dir(path).unwrap();
    }
}
