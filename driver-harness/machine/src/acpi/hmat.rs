// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Heterogeneous Memory Attribute Table (ACPI 6.5 5.2.28): latency and bandwidth between initiators
//! and targets, and caches in front of memory.

use super::ProximityDomain;
use super::table::{Fields, HEADER_BYTES, StructureHeader, Table, TableError};

/// Structures follow 4 reserved bytes.
const STRUCTURES: usize = HEADER_BYTES + 4;

/// Types of structures, and the bytes they have at least.
const DOMAIN_ATTRIBUTES: (u16, usize) = (0, 40);
const LOCALITY: (u16, usize) = (1, 32);
const SIDE_CACHE: (u16, usize) = (2, 32);

/// Domain attributes: the initiator is named.
const INITIATOR_VALID: u16 = 1 << 0;
/// Address mode of a cache whose bytes are memory as well.
const EXTENDED_LINEAR: u16 = 1;
/// Entries that are no figures.
const NO_INFORMATION: u16 = 0;
const UNREACHABLE: u16 = 0xffff;
/// The first revision whose latencies are in picoseconds and bandwidths in MB/s; before it, both are
/// in tenths of what they are shown in.
const PICOSECONDS_REVISION: u8 = 2;

/// What the table says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hmat {
    /// The table's revision: 1 or 2.
    pub revision: u8,
    /// Who is nearest to which memory.
    pub attributes: Vec<DomainAttributes>,
    /// Matrices of latency and bandwidth, in the table's order.
    pub localities: Vec<Locality>,
    /// Caches in front of memory.
    pub caches: Vec<SideCache>,
}

/// Who is nearest to a domain's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DomainAttributes {
    /// The memory's domain.
    pub memory: ProximityDomain,
    /// The domain of the initiator that it is attached to, where there is one.
    pub initiator: Option<ProximityDomain>,
}

/// What a matrix is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hierarchy {
    /// Memory itself, caches in front of it left out.
    Memory,
    /// The cache in front of memory of this level, 1 to 3.
    CacheLevel(u8),
}

/// What a matrix measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// Time of a read or write.
    AccessLatency,
    /// Time of a read.
    ReadLatency,
    /// Time of a write.
    WriteLatency,
    /// Reads or writes.
    AccessBandwidth,
    /// Reads.
    ReadBandwidth,
    /// Writes.
    WriteBandwidth,
}

impl DataType {
    /// Whether it is a time, not an amount per time.
    pub const fn is_latency(self) -> bool {
        matches!(
            self,
            DataType::AccessLatency | DataType::ReadLatency | DataType::WriteLatency
        )
    }

    fn from_code(code: u8) -> Option<DataType> {
        Some(match code {
            0 => DataType::AccessLatency,
            1 => DataType::ReadLatency,
            2 => DataType::WriteLatency,
            3 => DataType::AccessBandwidth,
            4 => DataType::ReadBandwidth,
            5 => DataType::WriteBandwidth,
            _ => return None,
        })
    }
}

/// A figure of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// The firmware does not say (entry 0), or says more than 32 bits hold, which Linux drops.
    Unknown,
    /// There is no way from the initiator to the target (entry 0xffff).
    Unreachable,
    /// Nanoseconds, rounded up, or MB/s.
    Value(u32),
}

impl Figure {
    /// The figure, where there is one.
    pub const fn value(self) -> Option<u32> {
        match self {
            Figure::Value(value) => Some(value),
            Figure::Unknown | Figure::Unreachable => None,
        }
    }
}

/// A matrix of latencies or bandwidths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locality {
    /// What it is about.
    pub hierarchy: Hierarchy,
    /// What it measures.
    pub data_type: DataType,
    /// Its rows.
    pub initiators: Vec<ProximityDomain>,
    /// Its columns.
    pub targets: Vec<ProximityDomain>,
    /// Row by row.
    figures: Vec<Figure>,
}

impl Locality {
    /// The figure from one domain to another; none for domains that the matrix does not have.
    pub fn figure(&self, from: ProximityDomain, to: ProximityDomain) -> Option<Figure> {
        let row = self.initiators.iter().position(|domain| *domain == from)?;
        let column = self.targets.iter().position(|domain| *domain == to)?;
        let cell = row * self.targets.len() + column;
        self.figures.get(cell).copied()
    }
}

/// A cache in front of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SideCache {
    /// The memory's domain.
    pub memory: ProximityDomain,
    /// Bytes.
    pub bytes: u64,
    /// How many levels there are in front of this memory: 0 to 3, more are reserved.
    pub levels: u8,
    /// Which of them this is, 1 to 3; 0 for none.
    pub level: u8,
    /// Bytes of a line.
    pub line_bytes: u16,
    /// The cache's bytes are memory of the same domain as well.
    pub is_extended_linear: bool,
}

impl Hmat {
    /// Parses a whole table.
    ///
    /// # Errors
    /// A header, a length or a count that is no such table's.
    pub fn parse(bytes: &[u8]) -> Result<Hmat, TableError> {
        let table = Table::parse("HMAT", bytes)?;
        let mut hmat = Hmat {
            revision: table.revision,
            ..Hmat::default()
        };
        for structure in table.structures(STRUCTURES, StructureHeader::Dword)? {
            let fields = structure.fields;
            let known = [DOMAIN_ATTRIBUTES, LOCALITY, SIDE_CACHE];
            let Some((_, bytes)) = known
                .into_iter()
                .find(|(known, _)| *known == structure.kind)
            else {
                continue;
            };
            fields.at_least(bytes, &format!("a structure of type {}", structure.kind))?;
            match (structure.kind, bytes) {
                DOMAIN_ATTRIBUTES => hmat.attributes.push(parse_attributes(fields)?),
                LOCALITY => hmat
                    .localities
                    .extend(parse_locality(fields, table.revision)?),
                _ => hmat.caches.push(parse_cache(fields)?),
            }
        }
        Ok(hmat)
    }

    /// What memory itself takes, caches left out; of several such matrices the last counts, as in
    /// Linux.
    pub fn figure(
        &self,
        data_type: DataType,
        from: ProximityDomain,
        to: ProximityDomain,
    ) -> Option<Figure> {
        self.memory_localities()
            .filter(|locality| locality.data_type == data_type)
            .filter_map(|locality| locality.figure(from, to))
            .last()
    }

    /// The matrices about memory itself.
    pub fn memory_localities(&self) -> impl Iterator<Item = &Locality> {
        self.localities
            .iter()
            .filter(|locality| locality.hierarchy == Hierarchy::Memory)
    }
}

fn parse_attributes(fields: Fields<'_>) -> Result<DomainAttributes, TableError> {
    let initiator = ProximityDomain(fields.dword(12)?);
    let is_valid = fields.word(8)? & INITIATOR_VALID != 0;
    Ok(DomainAttributes {
        memory: ProximityDomain(fields.dword(16)?),
        initiator: is_valid.then_some(initiator),
    })
}

/// None for what a later revision may mean by codes that are reserved.
fn parse_locality(fields: Fields<'_>, revision: u8) -> Result<Option<Locality>, TableError> {
    let (rows, columns) = (fields.dword(12)?, fields.dword(16)?);
    let needed = locality_bytes(rows, columns);
    if needed.is_none_or(|needed| needed > fields.len()) {
        let there = fields.len();
        let fault = format!(
            "{rows} initiators and {columns} targets do not fit into a structure of {there} bytes"
        );
        return Err(fields.fault(12, fault));
    }
    let Some(data_type) = DataType::from_code(fields.byte(9)?) else {
        return Ok(None);
    };
    let hierarchy = match fields.byte(8)? & 0xf {
        0 => Hierarchy::Memory,
        level @ 1..=3 => Hierarchy::CacheLevel(level),
        _ => return Ok(None),
    };
    let unit = fields.qword(24)?;
    let (rows, columns) = (count(rows), count(columns));
    let domains = |at: usize, count: usize| {
        let domain = |index| fields.dword(at + 4 * index).map(ProximityDomain);
        (0..count).map(domain).collect::<Result<Vec<_>, _>>()
    };
    let (targets, entries) = (32 + 4 * rows, 32 + 4 * (rows + columns));
    let figures = (0..rows * columns).map(|cell| {
        let entry = fields.word(entries + 2 * cell)?;
        Ok(figure(entry, unit, revision, data_type))
    });
    Ok(Some(Locality {
        hierarchy,
        data_type,
        initiators: domains(32, rows)?,
        targets: domains(targets, columns)?,
        figures: figures.collect::<Result<_, _>>()?,
    }))
}

/// What a matrix needs; none for more than any table has.
fn locality_bytes(rows: u32, columns: u32) -> Option<usize> {
    let (rows, columns) = (u64::from(rows), u64::from(columns));
    let entries = rows.checked_mul(columns)?.checked_mul(2)?;
    let bytes = entries.checked_add(32 + 4 * (rows + columns))?;
    usize::try_from(bytes).ok()
}

/// A count that fits into a table.
fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn figure(entry: u16, unit: u64, revision: u8, data_type: DataType) -> Figure {
    let divisor = match (revision, data_type.is_latency()) {
        (..PICOSECONDS_REVISION, _) => 10,
        (_, true) => 1000,
        (_, false) => 1,
    };
    let raw = match entry {
        UNREACHABLE => return Figure::Unreachable,
        NO_INFORMATION => None,
        entry => unit.checked_mul(entry.into()),
    };
    let raw = raw.and_then(|raw| u32::try_from(raw).ok());
    match raw {
        None | Some(0) => Figure::Unknown,
        // An old table has no figures below one.
        Some(raw) if revision < PICOSECONDS_REVISION && raw < divisor => Figure::Unknown,
        Some(raw) => Figure::Value(raw.div_ceil(divisor)),
    }
}

fn parse_cache(fields: Fields<'_>) -> Result<SideCache, TableError> {
    let attributes = fields.dword(24)?;
    let handles = usize::from(fields.word(30)?);
    fields.at_least(
        SIDE_CACHE.1 + 2 * handles,
        &format!("a cache with {handles} SMBIOS handles"),
    )?;
    let [levels, _, low, high] = attributes.to_le_bytes();
    Ok(SideCache {
        memory: ProximityDomain(fields.dword(8)?),
        bytes: fields.qword(16)?,
        levels: levels & 0xf,
        level: levels >> 4,
        line_bytes: u16::from_le_bytes([low, high]),
        is_extended_linear: fields.word(28)? == EXTENDED_LINEAR,
    })
}
