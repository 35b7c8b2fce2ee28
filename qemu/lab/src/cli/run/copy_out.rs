// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Files of the guest's for the host.
//!
//! The guest copies them into a shared folder beside the place that they are for; once it has ended they
//! get their names.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use chmu_lab::machine::{Machine, Mount};

use super::GUEST_TIMEOUT;

/// Where the shared folder is in the guest.
const PLACE: &str = "/run/copy-out";

/// A path of the guest's and what the host is to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyOut {
    path: String,
    to: PathBuf,
}

impl FromStr for CopyOut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, to) = match text.split_once(':') {
            Some((path, to)) => (path, PathBuf::from(to)),
            None => (
                text,
                PathBuf::from(text.rsplit('/').next().unwrap_or_default()),
            ),
        };
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(format!(
                "{path:?} is no path of a file or folder from the guest's root"
            ));
        }
        if to.file_name().is_none() {
            return Err(format!("{} is no name for a copy", to.display()));
        }
        if fs::symlink_metadata(&to).is_ok() {
            return Err(format!(
                "{} exists; name another with PATH:HOSTPATH",
                to.display()
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            to,
        })
    }
}

/// The folder that the guest copies into, gone when dropped.
#[derive(Debug)]
pub(super) struct Folder(tempfile::TempDir);

/// Busybox' cp knows no choice of what to keep; owners are the host's affair.
const COPY: &str = "if cp --version >/dev/null 2>&1; then cp -r --preserve=mode,timestamps \"$1\" \"$2\"; \
    else cp -r \"$1\" \"$2\"; fi";

impl Folder {
    /// None where nothing is copied.
    pub(super) fn for_copies(copies: &[CopyOut]) -> Result<Option<Self>> {
        let Some(first) = copies.first() else {
            return Ok(None);
        };
        for copy in copies {
            let parent = parent(&copy.to);
            ensure!(
                parent.is_dir(),
                "There is no folder {} to copy to",
                parent.display()
            );
        }
        let folder = tempfile::Builder::new()
            .prefix(".copy-out-")
            .tempdir_in(parent(&first.to))
            .context("Cannot make a folder for copies")?;
        Ok(Some(Self(folder)))
    }

    pub(super) fn mount(&self) -> Mount {
        Mount {
            folder: self.0.path().to_owned(),
            place: PLACE.to_owned(),
            is_read_only: false,
        }
    }

    /// Has the guest copy everything.
    pub(super) fn copy(&self, copies: &[CopyOut], machine: &mut Machine) -> Result<()> {
        for (number, copy) in copies.iter().enumerate() {
            let to = format!("{PLACE}/{number}");
            let command = ["sh", "-c", COPY, "sh", &copy.path, &to];
            machine
                .run_checked(&command, GUEST_TIMEOUT)
                .with_context(|| format!("Cannot copy {} out of the guest", copy.path))?;
        }
        Ok(())
    }

    /// Gives the copies their names.
    pub(super) fn hand_over(self, copies: &[CopyOut]) -> Result<()> {
        for (number, copy) in copies.iter().enumerate() {
            let to = copy.to.display();
            ensure!(
                fs::symlink_metadata(&copy.to).is_err(),
                "{to} has come into being meanwhile"
            );
            fs::rename(self.0.path().join(number.to_string()), &copy.to)
                .with_context(|| format!("Cannot give {to} its name"))?;
        }
        Ok(())
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_gets_the_files_name_or_a_users() {
        let copy = |text: &str| text.parse::<CopyOut>();
        assert_eq!(copy("/var/log/x.log").unwrap().to, Path::new("x.log"));
        assert_eq!(
            copy("/root/out:/tmp/no-such").unwrap().to,
            Path::new("/tmp/no-such")
        );
        for (text, sentence) in [
            ("var/log", "from the guest's root"),
            ("/", "from the guest's root"),
            ("/x:", "no name for a copy"),
            ("/x:..", "no name for a copy"),
            ("/x:/tmp", "/tmp exists"),
        ] {
            let error = copy(text).unwrap_err();
            assert!(error.contains(sentence), "{text}: {error}");
        }
    }
}
