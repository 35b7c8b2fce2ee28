// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The poison list: lines of the memory whose data is lost.

use std::collections::BTreeMap;

use chmu_spec::address::Dpa;
use chmu_spec::cxl::mailbox::ReturnCode;
use chmu_spec::cxl::poison::{LINE_BYTES, PoisonSource, list, query, record};

use super::PAYLOAD_BYTES;
use crate::bytes::{put, u64_at};

/// Lines that the list holds: as many as one output can tell, so that a host never has to ask
/// for more.
pub(super) const LIST_LINES: u16 = 126;
const _: () = assert!(list::RECORDS + LIST_LINES as usize * record::BYTES <= PAYLOAD_BYTES);

/// Lines that a host can poison.
pub(super) const INJECTED_LINES: u16 = 32;

/// What became of a line that was to be put onto the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It is on the list now.
    Listed,
    /// The list had it already.
    Known,
    /// It is not on the list, which is full; the list says that it overflowed.
    Overflow,
}

/// The lines of memory that are known to be bad, by ascending address.
#[derive(Debug, Default)]
pub(super) struct PoisonList {
    /// By number of the line.
    lines: BTreeMap<u64, PoisonSource>,
    /// When the list first had no room.
    overflow: Option<u64>,
}

impl PoisonList {
    /// The line at `dpa` is lost.
    pub(super) fn add(&mut self, dpa: Dpa, source: PoisonSource, timestamp: u64) -> Added {
        let line = dpa.0 / LINE_BYTES;
        if self.lines.contains_key(&line) {
            return Added::Known;
        }
        if self.lines.len() >= usize::from(LIST_LINES) {
            self.overflow.get_or_insert(timestamp);
            return Added::Overflow;
        }
        self.lines.insert(line, source);
        Added::Listed
    }

    /// Puts a line onto the list that a host asked to be poisoned.
    pub(super) fn inject(&mut self, dpa: Dpa, timestamp: u64) -> Result<Added, ReturnCode> {
        let injected = self.lines.values();
        let injected = injected.filter(|source| **source == PoisonSource::Injected);
        let known = self.lines.contains_key(&(dpa.0 / LINE_BYTES));
        if !known && injected.count() >= usize::from(INJECTED_LINES) {
            return Err(ReturnCode::InjectPoisonLimitReached);
        }
        Ok(self.add(dpa, PoisonSource::Injected, timestamp))
    }

    /// Takes all lines off the list.
    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    /// Clear Poison: the line has new data, if it was poisoned at all.
    pub(super) fn clear(&mut self, dpa: Dpa) {
        self.lines.remove(&(dpa.0 / LINE_BYTES));
    }

    /// Get Poison List. Lines that follow each other and have one source are one record.
    pub(super) fn output(&self, input: &[u8], capacity_bytes: u64) -> Result<Vec<u8>, ReturnCode> {
        let start = line_address(u64_at(input, query::ADDRESS))?.0 / LINE_BYTES;
        let end = start.checked_add(u64_at(input, query::LINES));
        let end = end.filter(|end| *end <= capacity_bytes / LINE_BYTES);
        let end = end.ok_or(ReturnCode::InvalidPhysicalAddress)?;
        let mut runs: Vec<Run> = Vec::new();
        for (line, source) in self.lines.range(start..end) {
            match runs.last_mut() {
                Some(run) if run.continues(*line, *source) => {
                    run.lines = run.lines.saturating_add(1);
                }
                _ => runs.push(Run::new(*line, *source)),
            }
        }
        let mut output = vec![0; list::RECORDS];
        if let Some(timestamp) = self.overflow {
            put(&mut output, list::FLAGS, &[list::OVERFLOW]);
            let timestamp = timestamp.to_le_bytes();
            put(&mut output, list::OVERFLOW_TIMESTAMP, &timestamp);
        }
        let count = u16::try_from(runs.len()).unwrap_or(LIST_LINES);
        put(&mut output, list::COUNT, &count.to_le_bytes());
        for run in runs {
            output.extend_from_slice(&run.record());
        }
        Ok(output)
    }
}

/// The address of a line, of a host's choice.
pub(super) fn line_address(address: u64) -> Result<Dpa, ReturnCode> {
    if address.is_multiple_of(LINE_BYTES) {
        Ok(Dpa(address))
    } else {
        Err(ReturnCode::InvalidInput)
    }
}

/// Lines that follow each other and have one source.
#[derive(Debug)]
struct Run {
    first: u64,
    lines: u32,
    source: PoisonSource,
}

impl Run {
    fn new(first: u64, source: PoisonSource) -> Self {
        Self {
            first,
            lines: 1,
            source,
        }
    }

    fn continues(&self, line: u64, source: PoisonSource) -> bool {
        self.source == source && self.first.checked_add(self.lines.into()) == Some(line)
    }

    fn record(&self) -> [u8; record::BYTES] {
        let mut bytes = [0; record::BYTES];
        let address = self.first.saturating_mul(LINE_BYTES) | u64::from(self.source.code());
        put(&mut bytes, record::ADDRESS, &address.to_le_bytes());
        put(&mut bytes, record::LINES, &self.lines.to_le_bytes());
        bytes
    }
}
