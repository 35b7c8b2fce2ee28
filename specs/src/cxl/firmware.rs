// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Firmware of a memory device (CXL r3.1, 8.2.9.3).

/// Offsets in the output of Get FW Info.
pub mod info {
    /// Slots, 8 bits: 1 to 4.
    pub const SLOTS: usize = 0x00;
    /// Active slot in bits 2:0, the one of the next reset in bits 5:3; slots count from 1, 0 is none.
    pub const ACTIVE_SLOT: usize = 0x01;
    /// Capabilities, 8 bits; 0 is none.
    pub const CAPABILITIES: usize = 0x02;
    /// Revision in slot 1: 16 bytes of ASCII, as those of the other slots behind it.
    pub const SLOT_1_REVISION: usize = 0x10;
    /// Bytes of the output.
    pub const BYTES: usize = 0x50;
}
