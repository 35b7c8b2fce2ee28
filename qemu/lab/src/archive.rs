// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A newc cpio archive whose bytes depend on nothing but its files.
//!
//! Linux unpacks archives that follow each other, each into what the ones before it made; they
//! start at multiples of [`ALIGNMENT_BYTES`].

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context, Result};
use cpio::newc::{self, Builder, ModeFileType};

/// The console's device number on Linux.
const CONSOLE: (u32, u32) = (5, 1);
/// Where the next archive may start.
pub(crate) const ALIGNMENT_BYTES: usize = 512;

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Adds a folder and those above it.
    pub(crate) fn folder(&mut self, path: &str) -> Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || self.folders.contains(path) {
            return Ok(());
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent)?;
        }
        self.folders.insert(path.to_owned());
        self.entry(path, 0o755, ModeFileType::Directory, (0, 0), &[])
    }

    /// Adds a file, and the folder it is in.
    pub(crate) fn file(&mut self, path: &str, content: &[u8], is_executable: bool) -> Result<()> {
        let permissions = if is_executable { 0o755 } else { 0o644 };
        self.file_with_permissions(path, content, permissions)
    }

    /// The same with any permissions, the bits for set-user-id and the like included.
    pub(crate) fn file_with_permissions(
        &mut self,
        path: &str,
        content: &[u8],
        permissions: u32,
    ) -> Result<()> {
        let path = self.within_folder(path)?;
        self.entry(path, permissions, ModeFileType::Regular, (0, 0), content)
    }

    /// Adds a symbolic link, and the folder it is in. What is added below the link goes where it
    /// leads.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let path = self.within_folder(path)?;
        let target = target.as_bytes();
        self.folders.insert(path.to_owned());
        self.entry(path, 0o777, ModeFileType::Symlink, (0, 0), target)
    }

    fn within_folder<'a>(&mut self, path: &'a str) -> Result<&'a str> {
        let path = path.trim_start_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent)?;
        }
        Ok(path)
    }

    /// Adds the device that the kernel opens as the first process' output.
    pub(crate) fn console(&mut self) -> Result<()> {
        self.folder("dev")?;
        self.entry("dev/console", 0o600, ModeFileType::Char, CONSOLE, &[])
    }

    fn entry(
        &mut self,
        path: &str,
        permissions: u32,
        kind: ModeFileType,
        device: (u32, u32),
        content: &[u8],
    ) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len())
            .with_context(|| format!("{path} is too large for the guest image"))?;
        let mut writer = Builder::new(path)
            .ino(self.entries)
            .mode(permissions)
            .set_mode_file_type(kind)
            .rdev_major(device.0)
            .rdev_minor(device.1)
            .write(&mut self.bytes, size);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }

    /// The archive's bytes, padded so that another archive can follow.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        let mut bytes = newc::trailer(self.bytes)?;
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT_BYTES), 0);
        Ok(bytes)
    }
}
