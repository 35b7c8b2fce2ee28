// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Poison management: memory whose data is lost (CXL r3.1, 8.2.9.9.4).

pub use crate::access::LINE_BYTES;

/// Offsets in the input of Get Poison List.
pub mod query {
    /// First device physical address, 64 bits.
    pub const ADDRESS: usize = 0x00;
    /// Lines of the range, 64 bits.
    pub const LINES: usize = 0x08;
    /// Bytes of the input.
    pub const BYTES: usize = 0x10;
}

/// Offsets in the output of Get Poison List.
pub mod list {
    /// Flags of the list, 8 bits.
    pub const FLAGS: usize = 0x00;
    /// Time when the list overflowed, 64 bits; 0 while it has not.
    pub const OVERFLOW_TIMESTAMP: usize = 0x02;
    /// Records that follow, 16 bits.
    pub const COUNT: usize = 0x0a;
    /// Where the first record starts.
    pub const RECORDS: usize = 0x20;

    /// Flags: there is more poison than the list has room for.
    pub const OVERFLOW: u8 = 1 << 1;
}

/// Offsets in a record of the poison list.
pub mod record {
    /// Device physical address, 64 bits; bits 2:0 are the source.
    pub const ADDRESS: usize = 0x00;
    /// Lines of 64 bytes that are bad in a row, 32 bits.
    pub const LINES: usize = 0x08;
    /// Bytes of a record.
    pub const BYTES: usize = 0x10;
}

/// Where poison came from, as a record's code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PoisonSource {
    /// The device cannot tell.
    Unknown = 0,
    /// It arrived with a write.
    External = 1,
    /// The device's own memory failed.
    Internal = 2,
    /// A host asked for it.
    Injected = 3,
}

impl PoisonSource {
    /// Bits 2:0 of a record's address.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Bytes of the input of Inject Poison: the device physical address.
pub const INJECT_BYTES: usize = 0x08;

/// Bytes of the input of Clear Poison: the device physical address, then the new data of its line.
pub const CLEAR_BYTES: usize = 0x48;
