// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The one table of configuration space: values after reset and what hosts can write.

use chmu_spec::cxl::VENDOR_ID as CXL_VENDOR_ID;
use chmu_spec::cxl::dvsec::{
    self, DeviceCapability, REGISTER_LOCATOR_ENTRIES, REGISTER_LOCATOR_ENTRY_BYTES, cxl_device,
    flex_bus, flush,
};
use chmu_spec::doe;
use chmu_spec::interleave::DecoderWindow;
use chmu_spec::pci::{
    CLASS_CXL_MEMORY_DEVICE, DVSEC_ID, DvsecHeader, EXTENDED_CAPABILITIES,
    ExtendedCapabilityHeader, MsixLocation, capability, command, error_reporting, express,
    extended_capability, header,
};

use crate::bar;
use crate::msix::MsixPlace;

/// Where the PCI Express capability lies.
pub(super) const EXPRESS_CAPABILITY: u16 = 0x40;
/// Where the capability of MSI or MSI-X lies.
pub(super) const INTERRUPT_CAPABILITY: u16 = 0x80;
/// Where the serial number lies.
const SERIAL_NUMBER: u16 = EXTENDED_CAPABILITIES;
/// Where the CXL device DVSEC lies.
pub(super) const DEVICE_DVSEC: u16 = 0x110;
/// Where the Register Locator lies.
pub(super) const LOCATOR_DVSEC: u16 = 0x150;
/// Where the Flex Bus port DVSEC lies: behind the longest Register Locator.
pub(super) const FLEX_BUS_DVSEC: u16 = 0x1c0;

/// Where the DVSEC of global persistent flush lies.
pub(super) const FLUSH_DVSEC: u16 = 0x1e0;
/// Where advanced error reporting lies.
pub(super) const ERROR_REPORTING: u16 = 0x200;
/// Bytes of advanced error reporting.
pub(super) const ERROR_REPORTING_BYTES: usize = error_reporting::BYTES as usize;
/// Where data object exchange lies.
pub(super) const EXCHANGE: u16 = 0x250;

/// Vendor identifier: the CXL consortium's own. Drivers find CXL memory devices by their class; the
/// consortium makes no products, so no driver matches its number.
const VENDOR_ID: u64 = CXL_VENDOR_ID as u64;
/// Device and subsystem identifier: free numbers.
const DEVICE_ID: u64 = 0xc4a0;
const SUBSYSTEM_ID: u64 = 0x0001;

/// 32 GT/s and 16 lanes, in the link's capabilities and status.
const LINK: u64 = 5 | 16 << 4;

/// A run of bytes in a capability or in the header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) offset: u16,
    pub(super) bytes: usize,
    pub(super) value: u64,
    pub(super) writable: u64,
    /// Bits that a host clears by writing 1.
    pub(super) clearable: u64,
}

const fn fixed(offset: u16, bytes: usize, value: u64) -> Field {
    Field {
        offset,
        bytes,
        value,
        writable: 0,
        clearable: 0,
    }
}

const fn writable(offset: u16, bytes: usize, value: u64, writable: u64) -> Field {
    Field {
        offset,
        bytes,
        value,
        writable,
        clearable: 0,
    }
}

/// Status bits, none of which is set after a reset.
const fn status(offset: u16, bytes: usize, clearable: u64) -> Field {
    Field {
        offset,
        bytes,
        value: 0,
        writable: 0,
        clearable,
    }
}

const COMMAND_BITS: u64 = (command::MEMORY
    | command::BUS_MASTER
    | command::PARITY_ERROR
    | command::SYSTEM_ERROR
    | command::INTERRUPT_DISABLE) as u64;

const CLASS: u64 = (CLASS_CXL_MEMORY_DEVICE[0] as u64)
    | (CLASS_CXL_MEMORY_DEVICE[1] as u64) << 8
    | (CLASS_CXL_MEMORY_DEVICE[2] as u64) << 16;

pub(super) const HEADER: &[Field] = &[
    fixed(header::VENDOR_ID, 2, VENDOR_ID),
    fixed(header::DEVICE_ID, 2, DEVICE_ID),
    writable(header::COMMAND, 2, 0, COMMAND_BITS),
    // There is a list of capabilities.
    fixed(header::STATUS, 2, 1 << 4),
    fixed(header::REVISION_ID, 1, 1),
    fixed(header::CLASS_CODE, 3, CLASS),
    writable(header::CACHE_LINE_SIZE, 1, 0, 0xff),
    fixed(header::SUBSYSTEM_VENDOR_ID, 2, VENDOR_ID),
    fixed(header::SUBSYSTEM_ID, 2, SUBSYSTEM_ID),
    fixed(header::CAPABILITIES, 1, EXPRESS_CAPABILITY as u64),
    writable(header::INTERRUPT_LINE, 1, 0, 0xff),
];

pub(super) const EXPRESS: &[Field] = &[
    fixed(0, 1, capability::PCI_EXPRESS as u64),
    fixed(1, 1, INTERRUPT_CAPABILITY as u64),
    // Version 2, endpoint.
    fixed(express::CAPABILITIES, 2, 2),
    // Payloads of 512 bytes, tags of 8 bits, any latency, role-based error reporting.
    fixed(
        express::DEVICE_CAPABILITIES,
        4,
        express::FUNCTION_LEVEL_RESET as u64 | 1 << 15 | 7 << 9 | 7 << 6 | 1 << 5 | 2,
    ),
    // Relaxed ordering, no snoop and reads of 512 bytes after reset.
    writable(express::DEVICE_CONTROL, 2, 0x2810, 0x79ff),
    status(express::DEVICE_STATUS, 2, 0xf),
    // ASPM optionality.
    fixed(express::LINK_CAPABILITIES, 4, LINK | 1 << 22),
    // Common clock, extended synchronisation.
    writable(express::LINK_CONTROL, 2, 0, 0x00c0),
    // The slot's clock.
    fixed(express::LINK_STATUS, 2, LINK | 1 << 12),
    // All completion timeouts, which can be switched off; completes tags of 10 bits.
    fixed(express::DEVICE_CAPABILITIES_2, 4, 1 << 16 | 1 << 4 | 0xf),
    writable(express::DEVICE_CONTROL_2, 2, 0, 0x1f),
    // 2.5 to 32 GT/s.
    fixed(express::LINK_CAPABILITIES_2, 4, 0x3e),
    writable(express::LINK_CONTROL_2, 2, 5, 0xf),
    // Equalisation is done, all of its phases.
    fixed(express::LINK_STATUS_2, 2, 0x1e),
];

pub(super) const FLEX_BUS: &[Field] = &[
    extended(extended_capability::DVSEC, FLUSH_DVSEC),
    vendor(2, flex_bus::BYTES),
    fixed(DVSEC_ID, 2, dvsec::FLEX_BUS_PORT as u64),
    fixed(flex_bus::CAPABILITY, 2, FLEX_BUS_MODES),
    fixed(flex_bus::CONTROL, 2, FLEX_BUS_MODES),
    fixed(flex_bus::STATUS, 2, FLEX_BUS_MODES),
];

const FLEX_BUS_MODES: u64 = (flex_bus::IO | flex_bus::MEM | flex_bus::FLIT_68_BYTES) as u64;

/// Volatile memory has nothing to flush: it takes no time and no power.
pub(super) const FLUSH: &[Field] = &[
    extended(extended_capability::DVSEC, ERROR_REPORTING),
    vendor(0, flush::BYTES),
    fixed(DVSEC_ID, 2, dvsec::GPF_DEVICE as u64),
    fixed(flush::PHASE_2_DURATION, 2, 0),
    fixed(flush::PHASE_2_POWER, 4, 0),
];

/// Errors that an endpoint finds: of the link, of TLPs, and internal ones.
const UNCORRECTABLE_ERRORS: u64 = 0x005f_f030;
const CORRECTABLE_ERRORS: u64 = 0xf1c1;

/// Masks and severities after reset are those of PCI Express.
pub(super) const ERRORS: &[Field] = &[
    extended_version(extended_capability::ADVANCED_ERROR_REPORTING, 2, EXCHANGE),
    status(
        error_reporting::UNCORRECTABLE_STATUS,
        4,
        UNCORRECTABLE_ERRORS,
    ),
    writable(
        error_reporting::UNCORRECTABLE_MASK,
        4,
        1 << 22,
        UNCORRECTABLE_ERRORS,
    ),
    writable(
        error_reporting::UNCORRECTABLE_SEVERITY,
        4,
        0x0046_2030,
        UNCORRECTABLE_ERRORS,
    ),
    status(error_reporting::CORRECTABLE_STATUS, 4, CORRECTABLE_ERRORS),
    writable(
        error_reporting::CORRECTABLE_MASK,
        4,
        0xe000,
        CORRECTABLE_ERRORS,
    ),
    // Check sums from end to end can be made and checked.
    writable(error_reporting::CONTROL, 4, 0xa0, 0x140),
];

/// Neither interrupts nor anything to remember between accesses.
pub(super) const DATA_OBJECTS: &[Field] = &[
    extended(extended_capability::DATA_OBJECT_EXCHANGE, 0),
    fixed(doe::register::CAPABILITIES, 4, 0),
];

/// Header of an extended capability of version 1.
const fn extended(id: u16, next: u16) -> Field {
    extended_version(id, 1, next)
}

/// Header of an extended capability.
const fn extended_version(id: u16, version: u8, next: u16) -> Field {
    let header = ExtendedCapabilityHeader::new()
        .with_id(id)
        .with_version(version)
        .with_next(next);
    fixed(0, 4, header.into_bits() as u64)
}

/// Second dword of CXL's DVSECs.
const fn vendor(revision: u8, bytes: u16) -> Field {
    let header = DvsecHeader::new()
        .with_vendor(CXL_VENDOR_ID)
        .with_revision(revision)
        .with_bytes(bytes);
    fixed(4, 4, header.into_bits() as u64)
}

/// The serial number, from the start of configuration space.
pub(super) fn serial_number(serial_number: u64) -> [Field; 2] {
    let header = extended(extended_capability::SERIAL_NUMBER, DEVICE_DVSEC);
    [
        fixed(SERIAL_NUMBER, 4, header.value),
        fixed(SERIAL_NUMBER.saturating_add(4), 8, serial_number),
    ]
}

/// The CXL device DVSEC: its first range is this device's share of the first decoder.
pub(super) fn device(window: &DecoderWindow) -> [Field; 9] {
    let capability = DeviceCapability::new()
        .with_io_capable(true)
        .with_mem_capable(true)
        .with_mem_hardware_init(true)
        .with_ranges(1);
    let high = |address: u64| address >> 32;
    let low = |address: u64| address & 0xf000_0000;
    let state = u64::from(
        cxl_device::MEMORY_INFO_VALID
            | cxl_device::MEMORY_ACTIVE
            | cxl_device::MEDIA_TYPE_BY_CDAT
            | cxl_device::MEMORY_CLASS_BY_CDAT,
    );
    let (base, bytes) = (window.base.0, window.dpa_bytes());
    let mem_enable = u64::from(cxl_device::MEM_ENABLE);
    [
        extended(extended_capability::DVSEC, LOCATOR_DVSEC),
        vendor(3, cxl_device::BYTES),
        fixed(DVSEC_ID, 2, dvsec::CXL_DEVICE.into()),
        fixed(cxl_device::CAPABILITY, 2, capability.into_bits().into()),
        writable(cxl_device::CONTROL, 2, IO_ENABLE | mem_enable, mem_enable),
        fixed(cxl_device::RANGE_1_SIZE_HIGH, 4, high(bytes)),
        fixed(cxl_device::RANGE_1_SIZE_LOW, 4, low(bytes) | state),
        fixed(cxl_device::RANGE_1_BASE_HIGH, 4, high(base)),
        fixed(cxl_device::RANGE_1_BASE_LOW, 4, low(base)),
    ]
}

/// CXL.io is on and cannot be switched off.
const IO_ENABLE: u64 = 1 << 1;

/// The Register Locator but for its entries.
pub(super) fn locator(entries: usize) -> [Field; 3] {
    let entries = u16::try_from(entries).unwrap_or(u16::MAX);
    let entries_bytes = entries.saturating_mul(REGISTER_LOCATOR_ENTRY_BYTES);
    [
        extended(extended_capability::DVSEC, FLEX_BUS_DVSEC),
        vendor(0, REGISTER_LOCATOR_ENTRIES.saturating_add(entries_bytes)),
        fixed(DVSEC_ID, 2, dvsec::REGISTER_LOCATOR.into()),
    ]
}

/// MSI-X: enable and mask are the host's.
pub(super) fn msix(vectors: u16, place: MsixPlace) -> [Field; 4] {
    let location = |offset: u64| {
        let location = MsixLocation::new()
            .with_bar(bar::MONITORS)
            .with_offset_8_bytes(u32::try_from(offset >> 3).unwrap_or(0));
        u64::from(location.into_bits())
    };
    [
        fixed(0, 2, capability::MSI_X.into()),
        writable(2, 2, vectors.saturating_sub(1).into(), 0xc000),
        fixed(4, 4, location(place.table)),
        fixed(8, 4, location(place.pending)),
    ]
}

/// MSI with 64-bit addresses: enable, vectors in use, address and data are the host's.
pub(super) fn msi(vectors: u16) -> [Field; 4] {
    let offered = u64::from(vectors.max(1).ilog2()) << 1;
    let address_64 = 1 << 7;
    [
        fixed(0, 2, capability::MSI.into()),
        writable(2, 2, address_64 | offered, 0x0071),
        writable(4, 8, 0, !0x3),
        writable(12, 2, 0, 0xffff),
    ]
}
