// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! PCI Express configuration space: where things lie and what the bits mean (`PCIe` r6.0, 7).

use bitfield_struct::bitfield;

/// Bytes of a function's configuration space.
pub const CONFIG_SPACE_BYTES: u16 = 4096;

/// Where extended capabilities start in configuration space.
pub const EXTENDED_CAPABILITIES: u16 = 0x100;

/// Class code of a CXL memory device: programming interface, sub-class, base class.
pub const CLASS_CXL_MEMORY_DEVICE: [u8; 3] = [0x10, 0x02, 0x05];

/// Offsets in the header of a function of type 0.
pub mod header {
    /// Vendor identifier, 16 bits.
    pub const VENDOR_ID: u16 = 0x00;
    /// Device identifier, 16 bits.
    pub const DEVICE_ID: u16 = 0x02;
    /// Command, 16 bits.
    pub const COMMAND: u16 = 0x04;
    /// Status, 16 bits.
    pub const STATUS: u16 = 0x06;
    /// Revision, 8 bits.
    pub const REVISION_ID: u16 = 0x08;
    /// Class code, 24 bits.
    pub const CLASS_CODE: u16 = 0x09;
    /// Cache line size, 8 bits.
    pub const CACHE_LINE_SIZE: u16 = 0x0c;
    /// First of six base address registers, 32 bits each.
    pub const BAR_0: u16 = 0x10;
    /// Subsystem vendor identifier, 16 bits.
    pub const SUBSYSTEM_VENDOR_ID: u16 = 0x2c;
    /// Subsystem identifier, 16 bits.
    pub const SUBSYSTEM_ID: u16 = 0x2e;
    /// Offset of the first capability, 8 bits.
    pub const CAPABILITIES: u16 = 0x34;
    /// Interrupt line, 8 bits.
    pub const INTERRUPT_LINE: u16 = 0x3c;
}

/// Bits of the command register.
pub mod command {
    /// The function answers to memory requests.
    pub const MEMORY: u16 = 1 << 1;
    /// The function may issue requests, interrupt messages included.
    pub const BUS_MASTER: u16 = 1 << 2;
    /// Command: parity errors are acted upon.
    pub const PARITY_ERROR: u16 = 1 << 6;
    /// Command: fatal and other errors are reported to the root.
    pub const SYSTEM_ERROR: u16 = 1 << 8;
    /// Command: no interrupts by wire (`INTx`).
    pub const INTERRUPT_DISABLE: u16 = 1 << 10;
}

/// Bits of a base address register.
pub mod bar {
    /// Memory, 64 bits wide: this and the next register.
    pub const MEMORY_64: u32 = 1 << 2;
    /// Reads have no side effect.
    pub const PREFETCHABLE: u32 = 1 << 3;
    /// All bits that are not address.
    pub const FLAGS: u32 = 0xf;
}

/// Identifiers of capabilities in the list below 0x100.
pub mod capability {
    /// Message-signalled interrupts (MSI).
    pub const MSI: u8 = 0x05;
    /// PCI Express.
    pub const PCI_EXPRESS: u8 = 0x10;
    /// Message-signalled interrupts with a table.
    pub const MSI_X: u8 = 0x11;
}

/// Offsets and bits of the capability of MSI.
pub mod msi {
    /// Control, 16 bits.
    pub const CONTROL: u16 = 0x02;

    /// Control: interrupts are messages.
    pub const ENABLE: u16 = 1 << 0;
    /// Control: lowest bit of log2 of the messages that the host grants, 3 bits.
    pub const GRANTED_SHIFT: u16 = 4;
    /// Bits of that logarithm.
    pub const GRANTED_MASK: u16 = 0x7;
}

/// Identifiers of extended capabilities, in the list from 0x100 on.
pub mod extended_capability {
    /// Advanced error reporting (AER).
    pub const ADVANCED_ERROR_REPORTING: u16 = 0x0001;
    /// Device serial number.
    pub const SERIAL_NUMBER: u16 = 0x0003;
    /// Designated vendor-specific extended capability (DVSEC).
    pub const DVSEC: u16 = 0x0023;
    /// Data object exchange (DOE).
    pub const DATA_OBJECT_EXCHANGE: u16 = 0x002e;
}

/// Offsets from the start of the PCI Express capability.
pub mod express {
    /// Capabilities, 16 bits.
    pub const CAPABILITIES: u16 = 0x02;
    /// Device capabilities, 32 bits.
    pub const DEVICE_CAPABILITIES: u16 = 0x04;
    /// Device control, 16 bits.
    pub const DEVICE_CONTROL: u16 = 0x08;
    /// Device status, 16 bits.
    pub const DEVICE_STATUS: u16 = 0x0a;
    /// Link capabilities, 32 bits.
    pub const LINK_CAPABILITIES: u16 = 0x0c;
    /// Link control, 16 bits.
    pub const LINK_CONTROL: u16 = 0x10;
    /// Link status, 16 bits.
    pub const LINK_STATUS: u16 = 0x12;
    /// Device capabilities 2, 32 bits.
    pub const DEVICE_CAPABILITIES_2: u16 = 0x24;
    /// Device control 2, 16 bits.
    pub const DEVICE_CONTROL_2: u16 = 0x28;
    /// Link capabilities 2, 32 bits.
    pub const LINK_CAPABILITIES_2: u16 = 0x2c;
    /// Link control 2, 16 bits.
    pub const LINK_CONTROL_2: u16 = 0x30;
    /// Link status 2, 16 bits.
    pub const LINK_STATUS_2: u16 = 0x32;
    /// Bytes of the capability in version 2.
    pub const BYTES: u16 = 0x3c;

    /// Device capabilities: the function can be reset on its own.
    pub const FUNCTION_LEVEL_RESET: u32 = 1 << 28;
    /// Device control: resets the function; reads as 0.
    pub const INITIATE_FUNCTION_LEVEL_RESET: u16 = 1 << 15;
}

/// Offsets from the start of advanced error reporting.
pub mod error_reporting {
    /// Uncorrectable errors that were seen, 32 bits.
    pub const UNCORRECTABLE_STATUS: u16 = 0x04;
    /// Uncorrectable errors that are not reported, 32 bits.
    pub const UNCORRECTABLE_MASK: u16 = 0x08;
    /// Uncorrectable errors that are fatal, 32 bits.
    pub const UNCORRECTABLE_SEVERITY: u16 = 0x0c;
    /// Correctable errors that were seen, 32 bits.
    pub const CORRECTABLE_STATUS: u16 = 0x10;
    /// Correctable errors that are not reported, 32 bits.
    pub const CORRECTABLE_MASK: u16 = 0x14;
    /// Capabilities and control, 32 bits.
    pub const CONTROL: u16 = 0x18;
    /// Bytes of an endpoint's capability, header and prefix logs included.
    pub const BYTES: u16 = 0x48;
}

/// Header of an extended capability.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct ExtendedCapabilityHeader {
    /// Which capability, as in [`extended_capability`].
    pub id: u16,
    /// Version of the capability's layout.
    #[bits(4)]
    pub version: u8,
    /// Offset of the next one; 0 ends the list.
    #[bits(12)]
    pub next: u16,
}

/// Second dword of a designated vendor-specific capability (DVSEC).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct DvsecHeader {
    /// PCI vendor identifier of who defines the rest.
    pub vendor: u16,
    /// Revision of the definition.
    #[bits(4)]
    pub revision: u8,
    /// Bytes, from the header of the extended capability on.
    #[bits(12)]
    pub bytes: u16,
}

/// Offset of the vendor's 16-bit identifier of a DVSEC, from its extended capability header.
pub const DVSEC_ID: u16 = 0x08;

/// Where a table of MSI-X lies: offset and BAR in one register.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct MsixLocation {
    /// Base address register, 0 to 5.
    #[bits(3)]
    pub bar: u8,
    /// Offset in units of 8 bytes.
    #[bits(29)]
    pub offset_8_bytes: u32,
}

/// Bytes of an entry of the MSI-X table.
pub const MSIX_ENTRY_BYTES: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_pack_as_the_specification_draws_them() {
        let header = ExtendedCapabilityHeader::new()
            .with_id(extended_capability::DVSEC)
            .with_version(1)
            .with_next(0x150);
        assert_eq!(header.into_bits(), 0x1501_0023);
        let dvsec = DvsecHeader::new()
            .with_vendor(0x1e98)
            .with_revision(3)
            .with_bytes(0x3c);
        assert_eq!(dvsec.into_bits(), 0x03c3_1e98);
        let location = MsixLocation::new()
            .with_bar(4)
            .with_offset_8_bytes(0x1_0000 / 8);
        assert_eq!(location.into_bits(), 0x1_0004);
    }
}
