// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The status as a file for the textfile collector of Prometheus's node exporter: readers see the old one
//! or the new one, never a part.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::status::{Status, prometheus};

/// A file that is replaced as a whole.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    /// In the same folder, under a name that no collector reads.
    next: PathBuf,
}

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("Cannot write the metrics {}", path.display())]
pub struct MetricsFileError {
    path: PathBuf,
    source: io::Error,
}

impl MetricsFile {
    /// The file at `path`, which need not be there yet. Its folder must be.
    pub fn new(path: &Path) -> MetricsFile {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}", std::process::id()));
        MetricsFile {
            path: path.to_owned(),
            next: path.with_file_name(name),
        }
    }

    /// Replaces it.
    ///
    /// # Errors
    /// When the file cannot be written beside the old one, or not take its place.
    pub fn write(&self, status: &Status) -> Result<(), MetricsFileError> {
        let written = self.replace(&prometheus::text(status));
        written.map_err(|source| {
            // It is of no use to anybody, and may never have been made.
            let _ = fs::remove_file(&self.next);
            MetricsFileError {
                path: self.path.clone(),
                source,
            }
        })
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        match fs::remove_file(&self.next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.next)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&self.next, &self.path)
    }
}
