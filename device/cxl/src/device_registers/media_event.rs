// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What can go wrong with the memory.

use chmu_spec::address::Dpa;
use chmu_spec::cxl::event::EventLog;

/// An error of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaEvent {
    /// The log it belongs to, and so its severity.
    pub log: EventLog,
    /// Where; the low 6 bits do not fit a record.
    pub dpa: Dpa,
    /// Whether data was lost: the poison list then has the address.
    pub uncorrectable: bool,
    /// What the device was doing.
    pub transaction: Transaction,
}

/// What a device was doing when it found an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// Nothing that it could tell.
    Unknown = 0,
    /// A host read the memory.
    HostRead = 1,
    /// A host wrote the memory.
    HostWrite = 2,
    /// The host asked for poison.
    HostInjectPoison = 4,
    /// The device scrubbed its memory.
    Scrub = 5,
}
