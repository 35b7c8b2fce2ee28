// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Finds the registers of a function as a driver does: by its capabilities and locators.

use std::ops::Range;
use std::rc::Rc;

use chmu_cxl::{Function, FunctionConfig, FunctionEvent, FunctionHost, Region};
use chmu_model::QuirkSet;
use chmu_spec::chmu::{self, BLOCK_TABLE, INSTANCE_TABLE, instance_offset, offset};
use chmu_spec::cxl::component::{
    self, ArrayHeader, CACHE_MEM, CapabilityHeader, DECODER_BYTES, DECODER_TABLE, HDM_HEADER_BYTES,
    HDM_TABLE, HdmCapability, RAS_TABLE, decoder_count,
};
use chmu_spec::cxl::device::{self, ArrayEntry};
use chmu_spec::cxl::dvsec::{self, RegisterLocatorEntry, block_id};
use chmu_spec::hotlist::ENTRY_BYTES;
use chmu_spec::pci::{
    self, DVSEC_ID, DvsecHeader, EXTENDED_CAPABILITIES, ExtendedCapabilityHeader, MSIX_ENTRY_BYTES,
    MsixLocation, capability, extended_capability, header,
};

use super::map::{Kind, Place, RegisterMap};

/// Most links of a list of capabilities that are followed.
const MAX_LINKS: usize = 64;

/// Bytes of the configuration space that were there before PCI Express, header included.
const CONVENTIONAL_BYTES: u64 = EXTENDED_CAPABILITIES as u64;

/// Offset of the locations in the MSI-X capability: of the table, then of the pending bits.
const MSIX_TABLE: u64 = 4;

/// Registers of the header of configuration space, with their bytes.
const HEADER: [(u16, u64, &str, Kind); 20] = [
    (header::VENDOR_ID, 2, "VENDOR_ID", Kind::Number),
    (header::DEVICE_ID, 2, "DEVICE_ID", Kind::Number),
    (header::COMMAND, 2, "COMMAND", Kind::PciCommand),
    (header::STATUS, 2, "STATUS", Kind::Number),
    (header::REVISION_ID, 1, "REVISION_ID", Kind::Number),
    (header::CLASS_CODE, 3, "CLASS_CODE", Kind::Number),
    (header::CACHE_LINE_SIZE, 1, "CACHE_LINE_SIZE", Kind::Number),
    (0x0d, 1, "LATENCY_TIMER", Kind::Number),
    (0x0e, 1, "HEADER_TYPE", Kind::Number),
    (0x10, 4, "BAR_0", Kind::Number),
    (0x14, 4, "BAR_1", Kind::Number),
    (0x18, 4, "BAR_2", Kind::Number),
    (0x1c, 4, "BAR_3", Kind::Number),
    (0x20, 4, "BAR_4", Kind::Number),
    (0x24, 4, "BAR_5", Kind::Number),
    (
        header::SUBSYSTEM_VENDOR_ID,
        2,
        "SUBSYSTEM_VENDOR_ID",
        Kind::Number,
    ),
    (header::SUBSYSTEM_ID, 2, "SUBSYSTEM_ID", Kind::Number),
    (0x30, 4, "ROM", Kind::Number),
    (header::CAPABILITIES, 1, "CAPABILITIES", Kind::Number),
    (header::INTERRUPT_LINE, 1, "INTERRUPT_LINE", Kind::Number),
];

/// Maps the registers of a function with this configuration. One that breaks a rule of discovery
/// on purpose is mapped as if it broke none.
pub(super) fn map(config: &FunctionConfig) -> RegisterMap {
    let config = FunctionConfig {
        quirks: QuirkSet::NONE,
        ..config.clone()
    };
    let mut map = RegisterMap::default();
    if let Ok(function) = Function::new(&config) {
        Walk {
            function,
            map: &mut map,
        }
        .everything();
    }
    map.sort();
    map
}

struct Walk<'a> {
    function: Function,
    map: &'a mut RegisterMap,
}

impl Walk<'_> {
    fn everything(&mut self) {
        for (offset, bytes, name, kind) in HEADER {
            self.add(Region::Config, u64::from(offset), bytes, "PCI", name, kind);
        }
        self.capabilities();
        self.extended_capabilities();
    }

    fn capabilities(&mut self) {
        let mut next = self.read(Region::Config, header::CAPABILITIES.into(), 1);
        let mut found = Vec::new();
        while next >= u64::from(header::INTERRUPT_LINE) && found.len() < MAX_LINKS {
            let id = self.read(Region::Config, next, 1);
            found.push((next, id));
            next = self.read(Region::Config, next.saturating_add(1), 1);
        }
        found.sort_unstable();
        let ends = found.iter().skip(1).map(|(at, _)| *at);
        let ends: Vec<u64> = ends.chain([CONVENTIONAL_BYTES]).collect();
        for ((at, id), end) in found.into_iter().zip(ends) {
            let name = match u8::try_from(id) {
                Ok(capability::MSI) => "MSI".to_owned(),
                Ok(capability::PCI_EXPRESS) => "PCI_EXPRESS".to_owned(),
                Ok(capability::MSI_X) => {
                    self.msix_tables(at);
                    "MSI_X".to_owned()
                }
                _ => format!("CAPABILITY_{id:02x}"),
            };
            let bytes = end.saturating_sub(at);
            self.add(Region::Config, at, bytes, "PCI", &name, Kind::Opaque);
        }
    }

    /// The tables that the MSI-X capability at `capability` locates.
    fn msix_tables(&mut self, capability: u64) {
        let control = self.read(Region::Config, capability.saturating_add(2), 2);
        let vectors = (control & 0x7ff).saturating_add(1);
        let tables = [
            ("TABLE", MSIX_ENTRY_BYTES, vectors),
            ("PENDING", 8, vectors.div_ceil(64)),
        ];
        for (at, (name, bytes, count)) in (MSIX_TABLE..).step_by(4).zip(tables) {
            let location = self.read(Region::Config, capability.saturating_add(at), 4);
            let location = MsixLocation::from_bits(u32::try_from(location).unwrap_or_default());
            let start = u64::from(location.offset_8_bytes()).saturating_mul(8);
            let region = Region::Bar(location.bar());
            let kind = Kind::Entries { bytes };
            self.add(
                region,
                start,
                bytes.saturating_mul(count),
                "MSI-X",
                name,
                kind,
            );
        }
    }

    fn extended_capabilities(&mut self) {
        let mut next = u64::from(EXTENDED_CAPABILITIES);
        let mut found = Vec::new();
        while next >= CONVENTIONAL_BYTES && found.len() < MAX_LINKS {
            let bits = self.read(Region::Config, next, 4);
            let header =
                ExtendedCapabilityHeader::from_bits(u32::try_from(bits).unwrap_or_default());
            if header.id() != 0 {
                found.push((next, header.id()));
            }
            next = u64::from(header.next());
        }
        found.sort_unstable();
        let ends = found.iter().skip(1).map(|(at, _)| *at);
        let ends: Vec<u64> = ends.chain([pci::CONFIG_SPACE_BYTES.into()]).collect();
        for ((at, id), end) in found.into_iter().zip(ends) {
            let name = match id {
                0x0001 => "ADVANCED_ERROR_REPORTING".to_owned(),
                extended_capability::SERIAL_NUMBER => "SERIAL_NUMBER".to_owned(),
                0x002e => "DATA_OBJECT_EXCHANGE".to_owned(),
                extended_capability::DVSEC => self.dvsec(at),
                _ => format!("EXTENDED_CAPABILITY_{id:04x}"),
            };
            let bytes = end.saturating_sub(at);
            self.add(Region::Config, at, bytes, "PCI", &name, Kind::Opaque);
        }
    }

    /// The name of the DVSEC at `at`; what a Register Locator locates is mapped.
    fn dvsec(&mut self, at: u64) -> String {
        let id = self.read(Region::Config, at.saturating_add(DVSEC_ID.into()), 2);
        match u16::try_from(id) {
            Ok(dvsec::CXL_DEVICE) => "CXL_DEVICE_DVSEC".to_owned(),
            Ok(dvsec::GPF_DEVICE) => "GPF_DEVICE_DVSEC".to_owned(),
            Ok(dvsec::FLEX_BUS_PORT) => "FLEX_BUS_PORT_DVSEC".to_owned(),
            Ok(dvsec::REGISTER_LOCATOR) => {
                self.located(at);
                "REGISTER_LOCATOR_DVSEC".to_owned()
            }
            _ => format!("DVSEC_{id:04x}"),
        }
    }

    /// The register blocks that the Register Locator at `locator` names.
    fn located(&mut self, locator: u64) {
        let second = self.read(Region::Config, locator.saturating_add(4), 4);
        let bytes = DvsecHeader::from_bits(u32::try_from(second).unwrap_or_default()).bytes();
        let entries = dvsec::REGISTER_LOCATOR_ENTRIES..bytes;
        let entries = entries.step_by(dvsec::REGISTER_LOCATOR_ENTRY_BYTES.into());
        let mut blocks = 0_usize;
        for at in entries {
            let bits = self.read(Region::Config, locator.saturating_add(at.into()), 8);
            let Some(entry) = RegisterLocatorEntry::from_bits(bits) else {
                continue;
            };
            let region = Region::Bar(entry.bar);
            match entry.block_id {
                block_id::COMPONENT => self.component(region, entry.offset),
                block_id::MEMORY_DEVICE => self.memory_device(region, entry.offset),
                block_id::HOTNESS_MONITOR => {
                    self.chmu_block(region, entry.offset, blocks);
                    blocks = blocks.saturating_add(1);
                }
                _ => {}
            }
        }
    }

    fn component(&mut self, region: Region, start: u64) {
        let start = start.saturating_add(CACHE_MEM);
        let array = self.read(region, start, 4);
        let array = ArrayHeader::from_bits(u32::try_from(array).unwrap_or_default());
        let array_bytes = u64::from(array.entries())
            .saturating_add(1)
            .saturating_mul(4);
        self.add(
            region,
            start,
            array_bytes,
            "component",
            "CAPABILITIES",
            Kind::Opaque,
        );
        for index in 1..=u64::from(array.entries()) {
            let bits = self.read(region, start.saturating_add(index.saturating_mul(4)), 4);
            let header = CapabilityHeader::from_bits(u32::try_from(bits).unwrap_or_default());
            let at = start.saturating_add(header.pointer().into());
            match header.id() {
                component::capability::RAS => {
                    self.map.add_table(region, at, &"RAS".into(), RAS_TABLE);
                }
                component::capability::HDM_DECODER => self.decoders(region, at),
                _ => {}
            }
        }
    }

    fn decoders(&mut self, region: Region, start: u64) {
        self.map.add_table(region, start, &"HDM".into(), HDM_TABLE);
        let capability = self.read(region, start, 4);
        let capability = HdmCapability::from_bits(u32::try_from(capability).unwrap_or_default());
        let count = decoder_count(capability.count_code()).unwrap_or_default();
        for index in 0..u64::from(count) {
            let at = start
                .saturating_add(HDM_HEADER_BYTES)
                .saturating_add(index.saturating_mul(DECODER_BYTES));
            let part = format!("HDM {index}").into();
            self.map.add_table(region, at, &part, DECODER_TABLE);
        }
    }

    fn memory_device(&mut self, region: Region, start: u64) {
        let array = self.read(region, start, 8);
        let entries = u64::from(device::ArrayHeader::from_bits(array).entries());
        let array_bytes = entries
            .saturating_add(1)
            .saturating_mul(device::ARRAY_ENTRY_BYTES);
        self.add(
            region,
            start,
            array_bytes,
            "device",
            "CAPABILITIES",
            Kind::Opaque,
        );
        for index in 1..=entries {
            let at = start.saturating_add(index.saturating_mul(device::ARRAY_ENTRY_BYTES));
            let entry = ArrayEntry::from_bits(self.read(region, at, 8));
            let bytes = self.read(region, at.saturating_add(8), 4);
            let at = start.saturating_add(entry.offset().into());
            match entry.id() {
                device::capability::DEVICE_STATUS => {
                    self.add(region, at, bytes, "device", "EVENT_STATUS", Kind::Number);
                }
                device::capability::PRIMARY_MAILBOX => {
                    self.mailbox(region, at..at.saturating_add(bytes))
                }
                device::capability::MEMORY_DEVICE_STATUS => {
                    self.add(region, at, bytes, "device", "MEMORY_STATUS", Kind::Number);
                }
                _ => {}
            }
        }
    }

    fn mailbox(&mut self, region: Region, range: Range<u64>) {
        use device::mailbox::{CAPABILITIES, COMMAND, CONTROL, PAYLOAD, STATUS};
        let registers = [
            (CAPABILITIES, 4, "CAPABILITIES", Kind::Number),
            (CONTROL, 4, "CONTROL", Kind::MailboxControl),
            (COMMAND, 8, "COMMAND", Kind::MailboxCommand),
            (STATUS, 8, "STATUS", Kind::MailboxStatus),
            (STATUS.saturating_add(8), 8, "BACKGROUND", Kind::Number),
        ];
        for (offset, bytes, name, kind) in registers {
            let at = range.start.saturating_add(offset);
            self.add(region, at, bytes, "mailbox", name, kind);
        }
        let payload = range.start.saturating_add(PAYLOAD);
        let bytes = range.end.saturating_sub(payload);
        self.add(region, payload, bytes, "mailbox", "PAYLOAD", Kind::Opaque);
    }

    fn chmu_block(&mut self, region: Region, start: u64, block: usize) {
        let part: Rc<str> = format!("CHMU {block}").into();
        self.map.add_table(region, start, &part, BLOCK_TABLE);
        let header = chmu::BlockHeader::from_bits(self.read(region, start, 8));
        let length = self.read(region, start.saturating_add(offset::INSTANCE_LENGTH), 8);
        let length = chmu::InstanceLength::from_bits(length).bytes();
        for number in 0..header.instances() {
            let at = start.saturating_add(instance_offset(number, length));
            let part: Rc<str> = format!("CHMU {block}.{number}").into();
            self.map.add_table(region, at, &part, INSTANCE_TABLE);
            self.bitmap_and_hotlist(region, at, length, &part);
        }
    }

    fn bitmap_and_hotlist(&mut self, region: Region, instance: u64, length: u16, part: &str) {
        let mut register = |offset| self.read(region, instance.saturating_add(offset), 8);
        let bitmap = register(offset::RANGE_BITMAP_OFFSET);
        let hotlist = register(offset::HOTLIST_OFFSET);
        let capabilities = chmu::Capabilities0::from_bits(register(offset::CAPABILITIES_0));
        let end = if hotlist > bitmap {
            hotlist.min(length.into())
        } else {
            length.into()
        };
        let bytes = end.saturating_sub(bitmap);
        let at = instance.saturating_add(bitmap);
        self.add(region, at, bytes, part, "RANGE_BITMAP", Kind::RangeBitmap);
        let bytes = u64::from(capabilities.hotlist_entries()).saturating_mul(ENTRY_BYTES);
        let at = instance.saturating_add(hotlist);
        let kind = Kind::Entries { bytes: ENTRY_BYTES };
        self.add(region, at, bytes, part, "HOTLIST", kind);
    }

    fn add(&mut self, region: Region, start: u64, bytes: u64, part: &str, name: &str, kind: Kind) {
        let place = Place {
            range: start..start.saturating_add(bytes),
            part: part.into(),
            name: name.to_owned().into(),
            kind,
        };
        self.map.add(region, place);
    }

    /// A number of up to 8 bytes.
    fn read(&mut self, region: Region, offset: u64, bytes: usize) -> u64 {
        let mut data = [0; 8];
        if let Some(data) = data.get_mut(..bytes) {
            self.function.read(0, region, offset, data, &mut Nobody);
        }
        u64::from_le_bytes(data)
    }
}

/// Nothing is outside of a function that is only looked at.
struct Nobody;

impl FunctionHost for Nobody {
    fn store(&mut self, _: u8, _: u64, _: u64) {}

    fn load(&mut self, _: u8, _: u64) -> u64 {
        0
    }

    fn interrupt(&mut self, _: u16) {}

    fn event(&mut self, _: FunctionEvent) {}
}
