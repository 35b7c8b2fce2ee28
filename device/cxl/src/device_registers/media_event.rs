// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What can go wrong with the memory, as a record of an event log.

use chmu_spec::address::Dpa;
use chmu_spec::cxl::event::{EventLog, GENERAL_MEDIA, RECORD_BYTES, general_media, record};

/// An error of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaEvent {
    /// The log it belongs to, and so its severity.
    pub log: EventLog,
    /// Where; the low 6 bits do not fit a record.
    pub dpa: Dpa,
    /// Whether data was lost.
    pub uncorrectable: bool,
    /// What the device was doing.
    pub transaction: Transaction,
}

/// What a device was doing when it found an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// Nothing that it could tell.
    Unknown = 0,
    /// The host read.
    HostRead = 1,
    /// The host wrote.
    HostWrite = 2,
    /// The device scrubbed its memory.
    Scrub = 5,
}

/// Bytes of a record.
pub(super) type Record = [u8; RECORD_BYTES];

impl MediaEvent {
    /// The event as a general media event record.
    pub(super) fn record(&self, handle: u16, timestamp: u64) -> Record {
        let address = self.dpa.0 & !general_media::ADDRESS_FLAGS | general_media::VOLATILE;
        let descriptor = if self.uncorrectable {
            general_media::UNCORRECTABLE
        } else {
            0
        };
        let mut bytes = [0; RECORD_BYTES];
        put(&mut bytes, record::FORM, &GENERAL_MEDIA);
        put(&mut bytes, record::LENGTH, &[RECORD_LENGTH]);
        put(&mut bytes, record::FLAGS, &[self.log.code()]);
        put(&mut bytes, record::HANDLE, &handle.to_le_bytes());
        put(&mut bytes, record::TIMESTAMP, &timestamp.to_le_bytes());
        put(&mut bytes, general_media::ADDRESS, &address.to_le_bytes());
        put(&mut bytes, general_media::DESCRIPTOR, &[descriptor]);
        put(
            &mut bytes,
            general_media::TRANSACTION_TYPE,
            &[self.transaction as u8],
        );
        bytes
    }
}

/// The length as a record tells it.
const RECORD_LENGTH: u8 = 0x80;
const _: () = assert!(RECORD_LENGTH as usize == RECORD_BYTES);

/// Copies `value` to its place; what does not fit is left out.
pub(super) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    let places = bytes.iter_mut().skip(offset);
    for (place, byte) in places.zip(value) {
        *place = *byte;
    }
}
