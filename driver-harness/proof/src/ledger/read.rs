// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From a file to events.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use chmu_promotion::ledger::{Action, Begin, Event, Totals, VERSION};

/// A ledger that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be read.
    #[error("Cannot read the ledger {}; chmu promote --ledger writes one", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A line is no event.
    #[error("Line {line} of the ledger {} is no event of a ledger", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The last line was cut.
    #[error("The ledger {} ends in the middle of line {line}; it was cut, or is still written", path.display())]
    Cut {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// Another program wrote it.
    #[error("Line {line} of the ledger {} has version {version}; this program knows {VERSION}", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Its version.
        version: u32,
    },
    /// It does not start at the start.
    #[error("The ledger does not start with the beginning of a run; its first lines are missing")]
    NoBeginning,
}

/// The events of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    begin: Begin,
    events: Vec<Event>,
}

impl Ledger {
    /// Reads a ledger file. A line that was cut short is refused unless the engine was `killed`.
    pub fn read(path: &Path, killed: bool) -> Result<Ledger, LedgerError> {
        let failed = |source| LedgerError::Read {
            path: path.to_owned(),
            source,
        };
        let mut lines = BufReader::new(File::open(path).map_err(failed)?);
        let mut events = Vec::new();
        let mut text = String::new();
        for line in 1.. {
            text.clear();
            if lines.read_line(&mut text).map_err(failed)? == 0 {
                break;
            }
            let path = || path.to_owned();
            if !text.ends_with('\n') {
                match killed {
                    true => break,
                    false => return Err(LedgerError::Cut { path: path(), line }),
                }
            }
            let event: Event = serde_json::from_str(&text).map_err(|source| LedgerError::Line {
                path: path(),
                line,
                source,
            })?;
            if event.version != VERSION {
                return Err(LedgerError::Version {
                    path: path(),
                    line,
                    version: event.version,
                });
            }
            events.push(event);
        }
        Ledger::of_events(events)
    }

    /// The events of a run in their order.
    pub fn of_events(events: Vec<Event>) -> Result<Ledger, LedgerError> {
        match events.first().map(|event| &event.action) {
            Some(Action::Begin(begin)) => Ok(Ledger {
                begin: begin.clone(),
                events,
            }),
            _ => Err(LedgerError::NoBeginning),
        }
    }

    /// How the run began.
    pub fn begin(&self) -> &Begin {
        &self.begin
    }

    /// All lines, the first included.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The sums that the last line tells; none when that is no end.
    pub fn totals(&self) -> Option<&Totals> {
        match self.events.last().map(|event| &event.action) {
            Some(Action::End(totals)) => Some(totals),
            _ => None,
        }
    }
}
