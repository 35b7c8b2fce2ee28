// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CXL's designated vendor-specific capabilities (DVSEC) in configuration space (CXL r3.1, 8.1).

use bitfield_struct::bitfield;

/// CXL device: what the function is and where its memory appears.
pub const CXL_DEVICE: u16 = 0;
/// Global persistent flush of a device.
pub const GPF_DEVICE: u16 = 5;
/// DVSEC of the flex bus port: what the link trained to.
pub const FLEX_BUS_PORT: u16 = 7;
/// DVSEC that says where register blocks lie.
pub const REGISTER_LOCATOR: u16 = 8;

/// Offsets in the CXL device DVSEC, from its extended capability header.
pub mod cxl_device {
    /// Capability, 16 bits.
    pub const CAPABILITY: u16 = 0x0a;
    /// Control, 16 bits.
    pub const CONTROL: u16 = 0x0c;
    /// High half of the first range's size.
    pub const RANGE_1_SIZE_HIGH: u16 = 0x18;
    /// Low half of the first range's size, with the memory's state.
    pub const RANGE_1_SIZE_LOW: u16 = 0x1c;
    /// High half of the first range's base.
    pub const RANGE_1_BASE_HIGH: u16 = 0x20;
    /// Low half of the first range's base.
    pub const RANGE_1_BASE_LOW: u16 = 0x24;
    /// Bytes of the DVSEC in revision 3.
    pub const BYTES: u16 = 0x3c;

    /// Control: CXL.mem is on.
    pub const MEM_ENABLE: u16 = 1 << 2;
    /// Range size, low half: the range is valid.
    pub const MEMORY_INFO_VALID: u32 = 1 << 0;
    /// Range size, low half: the memory is ready.
    pub const MEMORY_ACTIVE: u32 = 1 << 1;
    /// Range size, low half: the attribute table (CDAT) tells the type of the media.
    pub const MEDIA_TYPE_BY_CDAT: u32 = 2 << 2;
    /// Range size, low half: the attribute table (CDAT) tells the class of the memory.
    pub const MEMORY_CLASS_BY_CDAT: u32 = 2 << 5;
}

/// Capability register of the CXL device DVSEC.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct DeviceCapability {
    /// The device may cache memory of the host.
    pub cache_capable: bool,
    /// The device speaks CXL.io, as every device does.
    pub io_capable: bool,
    /// The device has memory for the host.
    pub mem_capable: bool,
    /// The device initialises its memory without software.
    pub mem_hardware_init: bool,
    /// Ranges in the DVSEC: 1 or 2.
    #[bits(2)]
    pub ranges: u8,
    #[bits(10)]
    __: u16,
}

/// Offset of the first entry of the Register Locator DVSEC, from its extended capability header.
pub const REGISTER_LOCATOR_ENTRIES: u16 = 0x0c;

/// Bytes of an entry of the Register Locator DVSEC.
pub const REGISTER_LOCATOR_ENTRY_BYTES: u16 = 8;

/// Offsets of register blocks are multiples of 64 KiB.
pub const REGISTER_BLOCK_ALIGNMENT_BYTES: u64 = 0x1_0000;

/// Identifiers of register blocks in the Register Locator.
pub mod block_id {
    /// Component registers, with the HDM decoders.
    pub const COMPONENT: u8 = 1;
    /// Memory device registers, with the mailbox.
    pub const MEMORY_DEVICE: u8 = 3;
    /// Performance monitoring unit (CPMU).
    pub const PERFORMANCE_MONITOR: u8 = 4;
    /// Hotness monitoring unit (CHMU).
    pub const HOTNESS_MONITOR: u8 = 5;
}

/// An entry of the Register Locator: where a block of registers lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RegisterLocatorEntry {
    /// Which kind of block; see [`block_id`].
    pub block_id: u8,
    /// Base address register, 0 to 5.
    pub bar: u8,
    /// Bytes from the start of the BAR, a multiple of 64 KiB.
    pub offset: u64,
}

impl RegisterLocatorEntry {
    /// The entry as its two dwords, the low one in bits 31:0. What the form has no room for is
    /// dropped.
    pub fn to_bits(self) -> u64 {
        let offset = self.offset & !(REGISTER_BLOCK_ALIGNMENT_BYTES - 1);
        offset | u64::from(self.block_id) << 8 | u64::from(self.bar & 7)
    }

    /// Reads an entry from its two dwords; none for an empty entry.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let [low, block_id, ..] = bits.to_le_bytes();
        (block_id != 0).then_some(Self {
            block_id,
            bar: low & 7,
            offset: bits & !(REGISTER_BLOCK_ALIGNMENT_BYTES - 1),
        })
    }
}

/// Offsets in the Flex Bus port DVSEC, from its extended capability header.
pub mod flex_bus {
    /// Capability, 16 bits.
    pub const CAPABILITY: u16 = 0x0a;
    /// Control, 16 bits.
    pub const CONTROL: u16 = 0x0c;
    /// Status, 16 bits.
    pub const STATUS: u16 = 0x0e;
    /// Bytes of the DVSEC in revision 2.
    pub const BYTES: u16 = 0x20;

    /// CXL.io, in each of the three.
    pub const IO: u16 = 1 << 1;
    /// CXL.mem, in each of the three.
    pub const MEM: u16 = 1 << 2;
    /// Flits of 68 bytes, in each of the three.
    pub const FLIT_68_BYTES: u16 = 1 << 5;
}

/// Offsets in the DVSEC of a device's global persistent flush (GPF), from its extended capability
/// header.
pub mod flush {
    /// How long the second phase takes, 16 bits.
    pub const PHASE_2_DURATION: u16 = 0x0a;
    /// What it needs, in milliwatts, 32 bits.
    pub const PHASE_2_POWER: u16 = 0x0c;
    /// Bytes of the whole DVSEC.
    pub const BYTES: u16 = 0x10;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The dwords of the kernel's contract, and one above 4 GiB.
    #[test]
    fn entries_equal_a_hand_transcription() {
        let entry = |block_id, bar, offset| RegisterLocatorEntry {
            block_id,
            bar,
            offset,
        };
        let expected = [
            (entry(block_id::COMPONENT, 0, 0), 0x0000_0100),
            (entry(block_id::MEMORY_DEVICE, 2, 0), 0x0000_0302),
            (entry(block_id::HOTNESS_MONITOR, 4, 0x3_0000), 0x0003_0504),
            (entry(5, 4, 0x12_3456_0000), 0x12_3456_0504),
        ];
        for (entry, bits) in expected {
            assert_eq!(entry.to_bits(), bits);
            assert_eq!(RegisterLocatorEntry::from_bits(bits), Some(entry));
        }
        assert_eq!(RegisterLocatorEntry::from_bits(0x10_0000_0007), None);
    }

    proptest! {
        #[test]
        fn entries_survive_their_form(block_id in 1_u8.., bar in 0_u8..8, units: u64) {
            let offset = units << 16;
            let entry = RegisterLocatorEntry { block_id, bar, offset };
            prop_assert_eq!(RegisterLocatorEntry::from_bits(entry.to_bits()), Some(entry));
        }
    }
}
