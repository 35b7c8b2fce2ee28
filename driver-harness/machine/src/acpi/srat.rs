// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! System Resource Affinity Table (ACPI 6.5 5.2.16): which processors, memory and devices belong to
//! which proximity domain.

use chmu_spec::address::Hpa;

use super::ProximityDomain;
use super::table::{Fields, HEADER_BYTES, StructureHeader, Table, TableError};

/// Structures follow 12 reserved bytes.
const STRUCTURES: usize = HEADER_BYTES + 12;
/// From this revision on a domain has 32 bits everywhere, before it 8.
const WIDE_DOMAINS_REVISION: u8 = 2;

/// Types of structures, and their bytes.
const APIC: (u16, usize) = (0, 16);
const MEMORY: (u16, usize) = (1, 40);
const X2APIC: (u16, usize) = (2, 24);
const GICC: (u16, usize) = (3, 18);
const GENERIC_INITIATOR: (u16, usize) = (5, 32);
const GENERIC_PORT: (u16, usize) = (6, 32);

/// Flags of every structure: without it the entry says nothing.
const ENABLED: u32 = 1 << 0;
/// Flags of memory.
const HOT_PLUGGABLE: u32 = 1 << 1;
const NON_VOLATILE: u32 = 1 << 2;

/// What the table says; entries that are not enabled are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Srat {
    /// In the table's order.
    pub entries: Vec<Affinity>,
}

/// Something that belongs to a proximity domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// A processor.
    Processor {
        /// Where it is.
        domain: ProximityDomain,
        /// Its number, and whose.
        id: ProcessorId,
    },
    /// A range of memory.
    Memory(MemoryAffinity),
    /// A device that accesses memory by itself, an accelerator for example.
    Initiator {
        /// Where it is.
        domain: ProximityDomain,
        /// Which device.
        handle: DeviceHandle,
    },
    /// Where a path leaves the machine that the firmware describes: a CXL host bridge.
    Port {
        /// The domain that HMAT uses for the path so far.
        domain: ProximityDomain,
        /// Which device.
        handle: DeviceHandle,
    },
}

/// Which number names a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessorId {
    /// Of its local APIC, 8 bits.
    Apic(u8),
    /// Of its local x2APIC.
    X2apic(u32),
    /// The firmware's own, on Arm.
    Acpi(u32),
}

/// A range of memory and its domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryAffinity {
    /// Where it is.
    pub domain: ProximityDomain,
    /// First byte.
    pub base: Hpa,
    /// Bytes.
    pub bytes: u64,
    /// It may come and go.
    pub hot_pluggable: bool,
    /// It keeps its content without power.
    pub non_volatile: bool,
}

/// How a device is named: 16 bytes that mean one of two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceHandle {
    /// By the firmware's identifiers, 8 letters and a number.
    Acpi {
        /// Hardware identifier, `ACPI0016` for a CXL host bridge.
        hid: [u8; 8],
        /// Number among those.
        uid: u32,
    },
    /// A PCI function: segment, and bus, device and function in 16 bits.
    Pci {
        /// Segment.
        segment: u16,
        /// Bus in bits 15:8, device in 7:3, function in 2:0.
        function: u16,
    },
    /// Named in a way that is reserved.
    Reserved(u8),
}

impl Srat {
    /// Parses a whole table.
    ///
    /// # Errors
    /// A header, a length or a structure that is no such table's.
    pub fn parse(bytes: &[u8]) -> Result<Srat, TableError> {
        let table = Table::parse("SRAT", bytes)?;
        let mut entries = Vec::new();
        for structure in table.structures(STRUCTURES, StructureHeader::Bytes)? {
            let entry = Entry {
                fields: structure.fields,
                has_wide_domains: table.revision >= WIDE_DOMAINS_REVISION,
            };
            entries.extend(entry.parse(structure.kind)?);
        }
        Ok(Srat { entries })
    }

    /// The ranges of memory, in the table's order.
    pub fn memory(&self) -> impl Iterator<Item = &MemoryAffinity> {
        self.entries.iter().filter_map(|entry| match entry {
            Affinity::Memory(memory) => Some(memory),
            _ => None,
        })
    }

    /// Whether a domain has processors.
    pub fn has_processors(&self, place: ProximityDomain) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry, Affinity::Processor { domain, .. } if *domain == place))
    }
}

/// One structure.
struct Entry<'a> {
    fields: Fields<'a>,
    has_wide_domains: bool,
}

impl Entry<'_> {
    /// What the structure says; none when it is not enabled or of a type that is not needed here.
    fn parse(&self, kind: u16) -> Result<Option<Affinity>, TableError> {
        let fields = &self.fields;
        let known = [APIC, MEMORY, X2APIC, GICC, GENERIC_INITIATOR, GENERIC_PORT];
        let Some((_, bytes)) = known.into_iter().find(|(known, _)| *known == kind) else {
            return Ok(None);
        };
        fields.at_least(bytes, &format!("an entry of type {kind}"))?;
        let (flags, affinity) = match (kind, bytes) {
            APIC => (fields.dword(4)?, self.apic()?),
            MEMORY => (fields.dword(28)?, self.memory()?),
            X2APIC => (
                fields.dword(12)?,
                Affinity::Processor {
                    domain: ProximityDomain(fields.dword(4)?),
                    id: ProcessorId::X2apic(fields.dword(8)?),
                },
            ),
            GICC => (
                fields.dword(10)?,
                Affinity::Processor {
                    domain: ProximityDomain(fields.dword(2)?),
                    id: ProcessorId::Acpi(fields.dword(6)?),
                },
            ),
            GENERIC_INITIATOR => {
                let (domain, handle) = self.device()?;
                (fields.dword(24)?, Affinity::Initiator { domain, handle })
            }
            _ => {
                let (domain, handle) = self.device()?;
                (fields.dword(24)?, Affinity::Port { domain, handle })
            }
        };
        Ok((flags & ENABLED != 0).then_some(affinity))
    }

    /// Bits 31:8 of the domain lie apart from bits 7:0, and mean nothing in an old table.
    fn apic(&self) -> Result<Affinity, TableError> {
        let low = self.fields.byte(2)?;
        let [first, second, third] = self.fields.array(9)?;
        let domain = match self.has_wide_domains {
            true => u32::from_le_bytes([low, first, second, third]),
            false => low.into(),
        };
        Ok(Affinity::Processor {
            domain: ProximityDomain(domain),
            id: ProcessorId::Apic(self.fields.byte(3)?),
        })
    }

    fn memory(&self) -> Result<Affinity, TableError> {
        let fields = &self.fields;
        let domain = match self.has_wide_domains {
            true => fields.dword(2)?,
            false => fields.byte(2)?.into(),
        };
        let (base, bytes) = (fields.qword(8)?, fields.qword(16)?);
        let flags = fields.dword(28)?;
        if flags & ENABLED != 0 && base.checked_add(bytes).is_none() {
            let fault = format!("{bytes:#x} bytes of memory from {base:#x} on end beyond 64 bits");
            return Err(fields.fault(16, fault));
        }
        Ok(Affinity::Memory(MemoryAffinity {
            domain: ProximityDomain(domain),
            base: Hpa(base),
            bytes,
            hot_pluggable: flags & HOT_PLUGGABLE != 0,
            non_volatile: flags & NON_VOLATILE != 0,
        }))
    }

    fn device(&self) -> Result<(ProximityDomain, DeviceHandle), TableError> {
        let fields = &self.fields;
        let handle = match fields.byte(3)? {
            0 => DeviceHandle::Acpi {
                hid: fields.array(8)?,
                uid: fields.dword(16)?,
            },
            1 => DeviceHandle::Pci {
                segment: fields.word(8)?,
                function: fields.word(10)?,
            },
            reserved => DeviceHandle::Reserved(reserved),
        };
        Ok((ProximityDomain(fields.dword(4)?), handle))
    }
}
