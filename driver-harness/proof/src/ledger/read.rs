// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From a file to events.

use std::path::{Path, PathBuf};

use chmu_promotion::ledger::{self, Action, Begin, Event, ReadError, Totals};

/// A ledger that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be read, or what it says is no ledger.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The last line was cut.
    #[error("The ledger {} ends in the middle of line {line}; it was cut, or is still written", path.display())]
    Cut {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
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
        let ledger = ledger::Ledger::read(path)?;
        if ledger.is_cut && !killed {
            return Err(LedgerError::Cut {
                path: path.to_owned(),
                line: ledger.events.len() + 1,
            });
        }
        Ledger::of_events(ledger.events)
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

    /// It may lack what a run that was `killed` could not write: one that has its end was not.
    pub(crate) fn may_lack(&self, killed: bool) -> bool {
        killed && self.totals().is_none()
    }

    /// The sums that the last line tells; none when that is no end.
    pub fn totals(&self) -> Option<&Totals> {
        match self.events.last().map(|event| &event.action) {
            Some(Action::End(totals)) => Some(totals),
            _ => None,
        }
    }
}
