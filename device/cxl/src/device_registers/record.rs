// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the device writes into its event logs.

use chmu_spec::cxl::event::{
    EventLog, GENERAL_MEDIA, MEMORY_MODULE, RECORD_BYTES, general_media, memory_module, record,
};

use super::health::Change;
use super::media_event::MediaEvent;
use crate::bytes::put;

/// An event record as a host reads it.
pub(super) type Record = [u8; RECORD_BYTES];

/// The length as a record tells it.
const RECORD_LENGTH: u8 = 0x80;
const _: () = assert!(RECORD_LENGTH as usize == RECORD_BYTES);

/// An event that is worth a record, by the kind of record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event<'a> {
    /// A failure of the memory: a general media record.
    Media {
        event: &'a MediaEvent,
        /// The poison list has no room for it.
        poison_list_overflow: bool,
    },
    /// A change of the device's health: a memory module record.
    Module {
        change: Change,
        health_info: &'a [u8],
    },
}

impl Event<'_> {
    /// The log that it belongs to.
    pub(super) fn log(&self) -> EventLog {
        match self {
            Self::Media { event, .. } => event.log,
            Self::Module { change, .. } => change.log,
        }
    }

    /// The bytes of the record; 0 is no handle.
    pub(super) fn record(&self, handle: u16, timestamp: u64) -> Record {
        let mut bytes = [0; RECORD_BYTES];
        put(&mut bytes, record::LENGTH, &[RECORD_LENGTH]);
        put(&mut bytes, record::FLAGS, &[self.log().code()]);
        put(&mut bytes, record::HANDLE, &handle.to_le_bytes());
        put(&mut bytes, record::TIMESTAMP, &timestamp.to_le_bytes());
        match self {
            Self::Media {
                event,
                poison_list_overflow,
            } => put_media(&mut bytes, event, *poison_list_overflow),
            Self::Module {
                change,
                health_info,
            } => {
                put(&mut bytes, record::FORM, &MEMORY_MODULE);
                let event_type = change.event_type;
                put(&mut bytes, memory_module::EVENT_TYPE, &[event_type]);
                put(&mut bytes, memory_module::HEALTH_INFO, health_info);
            }
        }
        bytes
    }
}

fn put_media(bytes: &mut Record, event: &MediaEvent, poison_list_overflow: bool) {
    let address = event.dpa.0 & !general_media::ADDRESS_FLAGS | general_media::VOLATILE;
    let descriptors = [
        (event.uncorrectable, general_media::UNCORRECTABLE),
        (poison_list_overflow, general_media::POISON_LIST_OVERFLOW),
    ];
    let set = descriptors.iter().filter(|(is_set, _)| *is_set);
    let descriptor = set.fold(0, |all, (_, bit)| all | bit);
    let transaction = event.transaction as u8;
    put(bytes, record::FORM, &GENERAL_MEDIA);
    put(bytes, general_media::ADDRESS, &address.to_le_bytes());
    put(bytes, general_media::DESCRIPTOR, &[descriptor]);
    put(bytes, general_media::TRANSACTION_TYPE, &[transaction]);
}
