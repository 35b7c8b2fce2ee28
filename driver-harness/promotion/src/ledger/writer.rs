// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Writing a ledger.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Event;

/// A ledger that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("Cannot write the ledger {}", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

/// Writes events as lines, and hands each call's to the kernel before it returns: a program that is
/// killed leaves all that it decided until then.
#[derive(Debug)]
pub struct LedgerWriter<W: Write> {
    output: BufWriter<W>,
    path: PathBuf,
}

impl LedgerWriter<File> {
    /// Begins a new file; one that is there is replaced.
    pub fn create(path: &Path) -> Result<LedgerWriter<File>, WriteError> {
        match File::create(path) {
            Ok(file) => Ok(LedgerWriter::new(file, path)),
            Err(source) => Err(WriteError {
                path: path.to_owned(),
                source,
            }),
        }
    }
}

impl<W: Write> LedgerWriter<W> {
    /// Writes to anything; `path` is what errors call it.
    pub fn new(output: W, path: &Path) -> LedgerWriter<W> {
        LedgerWriter {
            output: BufWriter::new(output),
            path: path.to_owned(),
        }
    }

    /// Writes some events.
    pub fn write(&mut self, events: &[Event]) -> Result<(), WriteError> {
        let written = self.try_write(events);
        written.map_err(|source| WriteError {
            path: self.path.clone(),
            source,
        })
    }

    fn try_write(&mut self, events: &[Event]) -> io::Result<()> {
        for event in events {
            serde_json::to_writer(&mut self.output, event)?;
            self.output.write_all(b"\n")?;
        }
        self.output.flush()
    }
}
