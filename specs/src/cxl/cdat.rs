// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Coherent Device Attribute Table (CDAT 1.03), and how it is read (CXL r3.1, 8.1.11).

use crate::doe::ObjectType;

use super::VENDOR_ID;

/// The data object that reads the table, an entry at a time.
pub const TABLE_ACCESS: ObjectType = ObjectType {
    vendor: VENDOR_ID,
    kind: 2,
};

/// Handle behind the last entry.
pub const LAST_ENTRY: u16 = 0xffff;

/// The header of the table, which is entry 0.
pub mod header {
    /// Bytes of the whole table, 32 bits.
    pub const LENGTH: usize = 0x00;
    /// Revision of the table, 8 bits.
    pub const REVISION: usize = 0x04;
    /// Makes the sum of all bytes 0.
    pub const CHECKSUM: usize = 0x05;
    /// Bytes of the header.
    pub const BYTES: usize = 0x10;

    /// The revision that is described here.
    pub const CURRENT_REVISION: u8 = 1;
}

/// What every structure starts with.
pub mod structure {
    /// Which structure it is, 8 bits.
    pub const TYPE: usize = 0x00;
    /// Bytes of the structure, 16 bits.
    pub const LENGTH: usize = 0x02;
}

/// Memory affinity (DSMAS): a range of device physical addresses and its handle.
pub mod memory_affinity {
    /// Value of [`structure::TYPE`](super::structure::TYPE).
    pub const TYPE: u8 = 0;
    /// Number by which other structures refer to it, 8 bits.
    pub const HANDLE: usize = 0x04;
    /// First device physical address, 64 bits.
    pub const ADDRESS: usize = 0x08;
    /// Bytes of the range, 64 bits.
    pub const LENGTH: usize = 0x10;
    /// Bytes of the structure.
    pub const BYTES: usize = 0x18;
}

/// Latency or bandwidth (DSLBIS) of a range.
pub mod latency_bandwidth {
    /// Value of [`structure::TYPE`](super::structure::TYPE).
    pub const TYPE: u8 = 1;
    /// Handle of the range, 8 bits.
    pub const HANDLE: usize = 0x04;
    /// What the entry is, 8 bits.
    pub const DATA_TYPE: usize = 0x06;
    /// What the entry counts in, 64 bits: picoseconds, or MB/s.
    pub const BASE_UNIT: usize = 0x08;
    /// The entry, 16 bits; 0xffff is none.
    pub const ENTRY: usize = 0x10;
    /// Bytes of the structure.
    pub const BYTES: usize = 0x18;

    /// Data type: read latency.
    pub const READ_LATENCY: u8 = 1;
    /// Data type: write latency.
    pub const WRITE_LATENCY: u8 = 2;
    /// Data type: read bandwidth.
    pub const READ_BANDWIDTH: u8 = 4;
    /// Data type: write bandwidth.
    pub const WRITE_BANDWIDTH: u8 = 5;
    /// The largest value of an entry; 0xffff says that there is none.
    pub const MAXIMUM_ENTRY: u16 = 0xfffe;
}

/// What firmware shall make of a range (DSEMTS).
pub mod memory_type {
    /// Value of [`structure::TYPE`](super::structure::TYPE).
    pub const TYPE: u8 = 4;
    /// Handle of the range, 8 bits.
    pub const HANDLE: usize = 0x04;
    /// EFI memory type and attribute, 8 bits.
    pub const ATTRIBUTE: usize = 0x05;
    /// First byte of the range that it is about, 64 bits.
    pub const OFFSET: usize = 0x08;
    /// Bytes of the range, 64 bits.
    pub const LENGTH: usize = 0x10;
    /// Bytes of the structure.
    pub const BYTES: usize = 0x18;

    /// Attribute: ordinary memory.
    pub const CONVENTIONAL: u8 = 0;
}
