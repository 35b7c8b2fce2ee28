// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One event log: a short queue of records that tells how many did not fit.

use std::collections::VecDeque;

use chmu_spec::cxl::event::{EventLog, RECORD_BYTES, records};
use chmu_spec::cxl::mailbox::ReturnCode;

use super::record::{Event, Record};
use crate::bytes::put;

/// Records that a log holds.
pub(super) const LOG_RECORDS: u16 = 64;

/// Handle of the oldest record that a host may name.
const FIRST_HANDLE: u16 = 1;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recorded {
    /// The log that it was meant for.
    pub(super) log: EventLog,
    /// The log was full, and the record is counted only.
    pub(super) lost: bool,
    /// The log was empty, or lost its first record: worth an interrupt.
    pub(super) news: bool,
}

/// Records that found no room since a host cleared some.
#[derive(Debug, Clone, Copy)]
struct Overflow {
    count: u16,
    first: u64,
    last: u64,
}

/// One event log: the oldest records, until a host clears them.
#[derive(Debug, Default)]
pub(super) struct Log {
    records: VecDeque<(u16, Record)>,
    last_handle: u16,
    overflow: Option<Overflow>,
}

impl Log {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Appends a record, or notes that there is no room.
    pub(super) fn push(&mut self, event: &Event<'_>, timestamp: u64) -> Recorded {
        if self.records.len() >= usize::from(LOG_RECORDS) {
            let news = self.overflow.is_none();
            let overflow = self.overflow.get_or_insert(Overflow {
                count: 0,
                first: timestamp,
                last: timestamp,
            });
            overflow.count = overflow.count.saturating_add(1);
            overflow.last = timestamp;
            return Recorded {
                log: event.log(),
                lost: true,
                news,
            };
        }
        let news = self.is_empty();
        self.last_handle = self.last_handle.checked_add(1).unwrap_or(FIRST_HANDLE);
        let record = event.record(self.last_handle, timestamp);
        self.records.push_back((self.last_handle, record));
        Recorded {
            log: event.log(),
            lost: false,
            news,
        }
    }

    /// The output of Get Event Records with as many of the oldest records as fit `room` bytes.
    pub(super) fn output(&self, room: usize) -> Vec<u8> {
        let fitting = room.saturating_sub(records::RECORDS) / RECORD_BYTES;
        let count = self.records.len().min(fitting);
        let mut output = vec![0; records::RECORDS];
        let mut flags = 0;
        if let Some(overflow) = self.overflow {
            flags |= records::OVERFLOW;
            let count = overflow.count.to_le_bytes();
            put(&mut output, records::OVERFLOW_COUNT, &count);
            let first = overflow.first.to_le_bytes();
            put(&mut output, records::FIRST_OVERFLOW, &first);
            let last = overflow.last.to_le_bytes();
            put(&mut output, records::LAST_OVERFLOW, &last);
        }
        if count < self.records.len() {
            flags |= records::MORE;
        }
        put(&mut output, records::FLAGS, &[flags]);
        let told = u16::try_from(count).unwrap_or(u16::MAX);
        put(&mut output, records::COUNT, &told.to_le_bytes());
        for (_, record) in self.records.iter().take(count) {
            output.extend_from_slice(record);
        }
        output
    }

    /// Drops the records with these handles, which must be the oldest, in order.
    pub(super) fn clear(&mut self, handles: &[u16]) -> Result<(), ReturnCode> {
        let oldest = self.records.iter().map(|(handle, _)| handle);
        if handles.len() > self.records.len() || !oldest.zip(handles).all(|(a, b)| a == b) {
            return Err(ReturnCode::InvalidHandle);
        }
        self.records.drain(..handles.len());
        if !handles.is_empty() {
            self.overflow = None;
        }
        Ok(())
    }

    /// Drops all records, and what is known of lost ones.
    pub(super) fn clear_all(&mut self) {
        self.records.clear();
        self.overflow = None;
    }
}
