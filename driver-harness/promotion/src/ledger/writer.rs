// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Writing a ledger.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

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
    /// Begins a new file; one that is there is replaced, unless another run still writes it.
    pub fn create(path: &Path) -> Result<LedgerWriter<File>, WriteError> {
        let file = open_for_this_run(path).map_err(|source| WriteError {
            path: path.to_owned(),
            source,
        })?;
        Ok(LedgerWriter::new(file, path))
    }
}

/// Opens a file and empties it when nobody else writes it.
fn open_for_this_run(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(file);
    }
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another run writes it; name another file",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    file.set_len(0)?;
    Ok(file)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_somebody_writes_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, "what another run wrote\n").unwrap();
        let first = LedgerWriter::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        let error = LedgerWriter::create(&path).unwrap_err();
        assert_eq!(
            error.source.to_string(),
            "another run writes it; name another file"
        );
        drop(first);
        LedgerWriter::create(&path).unwrap();
    }
}
