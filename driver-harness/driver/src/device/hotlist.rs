// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Reading the entries of a hotlist, through mapped pages where that works.

use chmu_machine::memory::PAGE_BYTES;

use super::block::Instance;
use crate::transport::{BarOffset, MappedWords, Transport, TransportError, Width};

/// A hotlist's words.
#[derive(Debug)]
pub(super) enum Hotlist {
    /// Read from mapped pages, `first` words behind their start.
    Mapped {
        words: Box<dyn MappedWords>,
        first: u64,
    },
    /// Read like any register.
    Registers { start: BarOffset },
}

impl Hotlist {
    /// Maps the pages around the hotlist; where they cannot be mapped, every entry is a register.
    pub(super) fn new(transport: &dyn Transport, instance: &Instance) -> Hotlist {
        let start = instance.hotlist();
        let before = start.offset % PAGE_BYTES;
        let pages = BarOffset {
            bar: start.bar,
            offset: start.offset - before,
        };
        // The instance was checked: no place of the hotlist is near the end of 64 bits.
        let bytes = (before + instance.hotlist_bytes()).next_multiple_of(PAGE_BYTES);
        match transport.map(pages, bytes) {
            Ok(words) => Hotlist::Mapped {
                words,
                first: before / 8,
            },
            Err(error) => {
                log::debug!("Hotlist entries at {start} are read one by one: {error}");
                Hotlist::Registers { start }
            }
        }
    }

    /// Whether entries are read without an access to the device.
    pub(super) fn is_mapped(&self) -> bool {
        matches!(self, Hotlist::Mapped { .. })
    }

    /// The entry at an index.
    pub(super) fn read(
        &self,
        transport: &dyn Transport,
        index: u16,
    ) -> Result<u64, TransportError> {
        let index = u64::from(index);
        match self {
            Hotlist::Registers { start } => transport.read(start.plus(index * 8), Width::Eight),
            Hotlist::Mapped { words, first } => {
                let word = words.read(first + index);
                word.ok_or(TransportError::PastEnd {
                    index: first + index,
                    words: words.len(),
                })
            }
        }
    }
}
