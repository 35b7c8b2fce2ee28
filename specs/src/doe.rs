// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Data object exchange (DOE): a mailbox in configuration space (`PCIe` r6.0, 6.30 and 7.9.24).

/// Offsets from the start of the extended capability.
pub mod register {
    /// Capabilities, 32 bits.
    pub const CAPABILITIES: u16 = 0x04;
    /// Control, 32 bits.
    pub const CONTROL: u16 = 0x08;
    /// Status, 32 bits.
    pub const STATUS: u16 = 0x0c;
    /// Takes a request, 32 bits at a time.
    pub const WRITE_MAILBOX: u16 = 0x10;
    /// Shows a response, 32 bits at a time; a write moves on.
    pub const READ_MAILBOX: u16 = 0x14;
    /// Bytes of the capability.
    pub const BYTES: u16 = 0x18;
}

/// Control: forget request, response and error.
pub const ABORT: u32 = 1 << 0;
/// Control: the request is whole.
pub const GO: u32 = 1 << 31;
/// Status: something was wrong, until the next abort.
pub const ERROR: u32 = 1 << 2;
/// Status: there is a response.
pub const OBJECT_READY: u32 = 1 << 31;

/// Dwords of the header of a data object: vendor with type, and length.
pub const HEADER_DWORDS: usize = 2;

/// Which kind of data object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectType {
    /// PCI vendor identifier of who defines the object's type.
    pub vendor: u16,
    /// Which of the vendor's kinds.
    pub kind: u8,
}

/// The discovery of the kinds that a mailbox knows.
pub const DISCOVERY: ObjectType = ObjectType {
    vendor: 0x0001,
    kind: 0,
};

/// What the discovery answers for an index that there is not.
pub const NO_OBJECT_TYPE: ObjectType = ObjectType {
    vendor: 0xffff,
    kind: 0xff,
};

impl ObjectType {
    /// First dword of a data object.
    pub fn to_bits(self) -> u32 {
        u32::from(self.vendor) | u32::from(self.kind) << 16
    }

    /// Reads the first dword of a data object; reserved bits do not matter.
    pub fn from_bits(bits: u32) -> Self {
        let [low, high, kind, _] = bits.to_le_bytes();
        Self {
            vendor: u16::from_le_bytes([low, high]),
            kind,
        }
    }
}

/// Bits of the second dword of a data object: its length in dwords, where 0 stands for 2^18.
pub const LENGTH_MASK: u32 = 0x3_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_equal_a_hand_transcription() {
        let cdat = ObjectType {
            vendor: 0x1e98,
            kind: 2,
        };
        assert_eq!(cdat.to_bits(), 0x0002_1e98);
        assert_eq!(ObjectType::from_bits(0xff02_1e98), cdat);
        assert_eq!(DISCOVERY.to_bits(), 1);
    }
}
