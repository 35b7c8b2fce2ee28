// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The mailbox of data object exchange (DOE), through which hosts read the device's attributes.
//!
//! A response is there at once. A request that makes no sense is dropped, as PCI Express has it;
//! one that does not have the length it says sets the error bit, until the host aborts.

use chmu_spec::cxl::cdat::TABLE_ACCESS;
use chmu_spec::doe::{
    ABORT, DISCOVERY, ERROR, GO, HEADER_DWORDS, LENGTH_MASK, NO_OBJECT_TYPE, OBJECT_READY,
    ObjectType,
};

use crate::cdat::AttributeTable;

/// Dwords that a request may have: more than any that there is.
const REQUEST_DWORDS: usize = 16;

/// The kinds of data objects, by index of the discovery.
const OBJECT_TYPES: [ObjectType; 2] = [DISCOVERY, TABLE_ACCESS];

/// The mailbox of one object exchange capability, with the objects in both directions.
#[derive(Debug)]
pub(super) struct DataObjectExchange {
    table: AttributeTable,
    request: Vec<u32>,
    response: Vec<u32>,
    /// Dwords of the response that the host has taken.
    taken: usize,
    error: bool,
}

impl DataObjectExchange {
    pub(super) fn new(table: AttributeTable) -> Self {
        Self {
            table,
            request: Vec::new(),
            response: Vec::new(),
            taken: 0,
            error: false,
        }
    }

    /// The status register as a host reads it.
    pub(super) fn status(&self) -> u32 {
        let error = if self.error { ERROR } else { 0 };
        let ready = self.current().map_or(0, |_| OBJECT_READY);
        error | ready
    }

    /// The dword that the read mailbox shows.
    pub(super) fn shown(&self) -> u32 {
        self.current().unwrap_or(0)
    }

    /// The host writes the control register.
    pub(super) fn control(&mut self, control: u32) {
        if control & ABORT != 0 {
            self.reset();
        } else if control & GO != 0 && !self.error {
            self.go();
        }
    }

    /// The host writes the write mailbox.
    pub(super) fn put(&mut self, dword: u32) {
        if self.request.len() < REQUEST_DWORDS {
            self.request.push(dword);
        } else {
            self.error = true;
        }
    }

    /// The host writes the read mailbox: it has taken the dword.
    pub(super) fn take(&mut self) {
        if self.current().is_some() {
            self.taken = self.taken.saturating_add(1);
        } else {
            self.error = true;
        }
    }

    /// Forgets request, response and error.
    pub(super) fn reset(&mut self) {
        self.request.clear();
        self.response.clear();
        self.taken = 0;
        self.error = false;
    }

    fn current(&self) -> Option<u32> {
        self.response.get(self.taken).copied()
    }

    fn go(&mut self) {
        let request = std::mem::take(&mut self.request);
        self.response.clear();
        self.taken = 0;
        let [object_type, length, content @ ..] = request.as_slice() else {
            self.error = true;
            return;
        };
        if usize::try_from(length & LENGTH_MASK) != Ok(request.len()) {
            self.error = true;
            return;
        }
        let object_type = ObjectType::from_bits(*object_type);
        let answer = if object_type == DISCOVERY {
            discover(content)
        } else if object_type == TABLE_ACCESS {
            self.read_table(content)
        } else {
            None
        };
        if let Some(answer) = answer {
            let length = answer.len().saturating_add(HEADER_DWORDS);
            self.response = vec![object_type.to_bits(), u32::try_from(length).unwrap_or(0)];
            self.response.extend(answer);
        }
    }

    /// Reads an entry of the attribute table: request 0, table 0.
    fn read_table(&self, content: &[u32]) -> Option<Vec<u32>> {
        let [request] = content else { return None };
        let [0, 0, low, high] = request.to_le_bytes() else {
            return None;
        };
        let handle = u16::from_le_bytes([low, high]);
        let (entry, next) = self.table.entry(handle)?;
        let mut answer = vec![u32::from(next) << 16];
        let dwords = entry.as_chunks().0.iter();
        answer.extend(dwords.map(|dword| u32::from_le_bytes(*dword)));
        Some(answer)
    }
}

/// Tells the kind of data object with an index, and the index of the next one; 0 is behind the
/// last.
fn discover(content: &[u32]) -> Option<Vec<u32>> {
    let [request] = content else { return None };
    let [index, ..] = request.to_le_bytes();
    let found = OBJECT_TYPES.get(usize::from(index)).copied();
    let next = u8::checked_add(index, 1)
        .filter(|next| usize::from(*next) < OBJECT_TYPES.len())
        .unwrap_or(0);
    let object_type = found.unwrap_or(NO_OBJECT_TYPE);
    Some(vec![object_type.to_bits() | u32::from(next) << 24])
}
