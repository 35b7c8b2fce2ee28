// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Event logs and their records (CXL r3.1, 8.2.9.2).

/// The four event logs of a memory device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventLog {
    /// Nothing to do.
    Informational = 0,
    /// Something wants attention.
    Warning = 1,
    /// Something failed.
    Failure = 2,
    /// The device cannot go on.
    Fatal = 3,
}

impl EventLog {
    /// All logs, by ascending code.
    pub const ALL: [Self; 4] = [
        Self::Informational,
        Self::Warning,
        Self::Failure,
        Self::Fatal,
    ];

    /// The log with a code; none for other codes.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|log| log.code() == code)
    }

    /// The code, also the severity in a record's flags.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The log's name in sentences and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Fatal => "fatal",
        }
    }
}

/// Bytes of an event record.
pub const RECORD_BYTES: usize = 0x80;

/// Offsets in an event record, as every kind has them.
pub mod record {
    /// UUID of the record's form.
    pub const FORM: usize = 0x00;
    /// Bytes of the record, 8 bits.
    pub const LENGTH: usize = 0x10;
    /// Flags, 24 bits; bits 1:0 are the severity.
    pub const FLAGS: usize = 0x11;
    /// Handle, 16 bits, never 0.
    pub const HANDLE: usize = 0x14;
    /// Nanoseconds since 1970, 64 bits; 0 when the device does not know the time.
    pub const TIMESTAMP: usize = 0x18;
}

/// UUID of a general media event, as it lies in a record.
pub const GENERAL_MEDIA: [u8; 16] = [
    0xfb, 0xcd, 0x0a, 0x77, 0xc2, 0x60, 0x41, 0x7f, 0x85, 0xa9, 0x08, 0x8b, 0x16, 0x21, 0xeb, 0xa6,
];

/// Offsets in a general media event.
pub mod general_media {
    /// Device physical address, 64 bits; bits 5:0 are flags.
    pub const ADDRESS: usize = 0x30;
    /// Descriptor, 8 bits: whether the error was corrected.
    pub const DESCRIPTOR: usize = 0x38;
    /// What the device was doing, 8 bits.
    pub const TRANSACTION_TYPE: usize = 0x3a;

    /// Address: the memory is volatile.
    pub const VOLATILE: u64 = 1 << 0;
    /// Address: bits that are flags.
    pub const ADDRESS_FLAGS: u64 = 0x3f;
    /// Descriptor: the error was not corrected.
    pub const UNCORRECTABLE: u8 = 1 << 0;
    /// Descriptor: there is more poison than the poison list has room for.
    pub const POISON_LIST_OVERFLOW: u8 = 1 << 2;
}

/// UUID of a memory module event, as it lies in a record.
pub const MEMORY_MODULE: [u8; 16] = [
    0xfe, 0x92, 0x74, 0x75, 0xdd, 0x59, 0x43, 0x39, 0xa5, 0x86, 0x79, 0xba, 0xb1, 0x13, 0xb7, 0x74,
];

/// Offsets in a memory module event.
pub mod memory_module {
    /// What changed, 8 bits, one of the event types below.
    pub const EVENT_TYPE: usize = 0x30;
    /// The health of the device as [`health_info`](super::super::health::health_info) lays it out.
    pub const HEALTH_INFO: usize = 0x31;

    /// Event type: the health status.
    pub const HEALTH_STATUS_CHANGE: u8 = 0;
    /// Event type: the media status.
    pub const MEDIA_STATUS_CHANGE: u8 = 1;
    /// Event type: life used.
    pub const LIFE_USED_CHANGE: u8 = 2;
    /// Event type: the temperature.
    pub const TEMPERATURE_CHANGE: u8 = 3;
}

/// Offsets in the output of Get Event Records.
pub mod records {
    /// Flags of the log, 8 bits.
    pub const FLAGS: usize = 0x00;
    /// Records that were lost, 16 bits.
    pub const OVERFLOW_COUNT: usize = 0x02;
    /// Time of the first lost record, 64 bits.
    pub const FIRST_OVERFLOW: usize = 0x04;
    /// Time of the last lost record, 64 bits.
    pub const LAST_OVERFLOW: usize = 0x0c;
    /// Records that follow, 16 bits.
    pub const COUNT: usize = 0x14;
    /// Where the first record starts.
    pub const RECORDS: usize = 0x20;

    /// Flags: records were lost.
    pub const OVERFLOW: u8 = 1 << 0;
    /// Flags: the log holds more records.
    pub const MORE: u8 = 1 << 1;
}

/// Offsets in the input of Clear Event Records.
pub mod clear {
    /// Code of the log, 8 bits.
    pub const LOG: usize = 0x00;
    /// Flags, 8 bits.
    pub const FLAGS: usize = 0x01;
    /// Number of handles, 8 bits.
    pub const COUNT: usize = 0x02;
    /// First handle, 16 bits each.
    pub const HANDLES: usize = 0x06;

    /// Flags: all records of the log.
    pub const ALL: u8 = 1 << 0;
}

/// An event log's byte of the interrupt policy.
pub mod policy {
    /// Bits of a log's byte that hold the mode.
    pub const MODE: u8 = 0x3;
    /// Mode: no interrupt.
    pub const NONE: u8 = 0;
    /// Mode: MSI or MSI-X.
    pub const MESSAGE: u8 = 1;
}
