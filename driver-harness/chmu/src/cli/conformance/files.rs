// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The files that a run writes beside its results on stdout.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chmu_conformance::run::CaseResult;

use super::super::files::{self, Named, Way};
use super::options::RunOptions;

/// What the results go to.
const STDOUT: &str = "/dev/stdout";

/// The files that were asked for; they are open from before the run on, so that it does not run for nothing.
#[derive(Debug)]
pub(super) struct Files {
    junit: Option<Report>,
    pub(super) access_log: Option<Report>,
}

/// A file to write to.
#[derive(Debug)]
pub(super) struct Report {
    path: PathBuf,
    file: File,
}

impl Report {
    /// Opens a file that is there, with what it holds, or makes one.
    fn open(path: &Path) -> Result<Report> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("Cannot write {}", path.display()))?;
        Ok(Report {
            path: path.to_owned(),
            file,
        })
    }

    /// Empties the file, which may be a pipe or a terminal.
    fn clear(&self) -> io::Result<()> {
        match self.file.metadata()?.is_file() {
            true => self.file.set_len(0),
            false => Ok(()),
        }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let written = self
            .clear()
            .and_then(|()| self.file.write_all(text.as_bytes()));
        written.with_context(|| format!("Cannot write {}", self.path.display()))
    }
}

impl Files {
    /// Opens what the options name.
    ///
    /// # Errors
    /// When one of them cannot be written, or is another one's as well.
    pub(super) fn open(options: &RunOptions) -> Result<Files> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Report::open).transpose();
        let (junit, access_log) = (open(&options.junit)?, open(&options.access_log)?);
        let outputs: Vec<_> = [
            ("stdout", Some(Path::new(STDOUT))),
            ("--junit", options.junit.as_deref()),
            ("--access-log", options.access_log.as_deref()),
        ]
        .into_iter()
        .filter_map(|(option, path)| {
            Some((
                Named {
                    option,
                    path: path?,
                },
                Way::Lines,
            ))
        })
        .collect();
        if outputs.len() > 1 {
            files::check(&[], &outputs)?;
        }
        if let Some(log) = &access_log {
            log.clear()?;
        }
        Ok(Files { junit, access_log })
    }

    /// Writes down what a failing case did to the device.
    pub(super) fn log_accesses(&mut self, instance: &str, result: &CaseResult) {
        let Some(lines) = &result.accesses else {
            return;
        };
        let case = result.case;
        for line in lines {
            log::trace!("{case} of {instance}: {line}");
        }
        let Some(log) = &mut self.access_log else {
            return;
        };
        let text = format!("{case} of {instance}\n  {}\n", lines.join("\n  "));
        if let Err(error) = log.file.write_all(text.as_bytes()) {
            log::warn!("Cannot write {}: {error}", log.path.display());
            self.access_log = None;
        }
    }

    /// Writes the report, if it was asked for.
    ///
    /// # Errors
    /// When the file fails.
    pub(super) fn write_junit(&mut self, xml: &str) -> Result<()> {
        self.junit.as_mut().map_or(Ok(()), |junit| junit.write(xml))
    }
}
