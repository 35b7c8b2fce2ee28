// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What all tables share: a header with a signature, a length and a checksum (ACPI 6.5 5.2.6), and
//! behind it structures that tell their own length.

use thiserror::Error;

/// Why a table's bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{table} at byte {offset:#x}: {fault}")]
pub struct TableError {
    /// The table's four letters.
    pub table: &'static str,
    /// Byte, from the table's start, at which the fault is.
    pub offset: usize,
    /// What is wrong there.
    pub fault: String,
}

/// Bytes of the header that every table begins with.
pub const HEADER_BYTES: usize = 36;
/// Places in the header.
const LENGTH: usize = 4;
const REVISION: usize = 8;
const CHECKSUM: usize = 9;

/// A table whose header is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) revision: u8,
}

/// How a table's structures begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StructureHeader {
    /// Type and length, a byte each.
    Bytes,
    /// Type in a byte, a reserved byte, length in two.
    Word,
    /// Type in two bytes, two reserved, length in four.
    Dword,
}

impl StructureHeader {
    const fn bytes(self) -> usize {
        match self {
            StructureHeader::Bytes => 2,
            StructureHeader::Word => 4,
            StructureHeader::Dword => 8,
        }
    }

    fn read(self, fields: Fields<'_>) -> Result<(u16, usize), TableError> {
        let (kind, length) = match self {
            StructureHeader::Bytes => (fields.byte(0)?.into(), fields.byte(1)?.into()),
            StructureHeader::Word => (fields.byte(0)?.into(), fields.word(2)?.into()),
            StructureHeader::Dword => (fields.word(0)?, fields.dword(4)?),
        };
        // A length that this machine cannot count is beyond every table's end.
        Ok((kind, usize::try_from(length).unwrap_or(usize::MAX)))
    }
}

/// A structure of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Structure<'a> {
    pub(super) kind: u16,
    pub(super) fields: Fields<'a>,
}

impl<'a> Table<'a> {
    /// Checks signature, length and checksum.
    ///
    /// The length must be that of `bytes`: a copy that was cut or padded is no table.
    pub(super) fn parse(name: &'static str, bytes: &'a [u8]) -> Result<Table<'a>, TableError> {
        let fields = Fields {
            table: name,
            start: 0,
            bytes,
        };
        fields.at_least(HEADER_BYTES, "a table's header")?;
        let signature = &bytes[..LENGTH];
        if signature != name.as_bytes() {
            let shown = signature.escape_ascii();
            return Err(fields.fault(0, format!("the signature is \"{shown}\"")));
        }
        let length = fields.dword(LENGTH)?;
        if usize::try_from(length) != Ok(bytes.len()) {
            let there = bytes.len();
            let fault = format!("it says it is {length} bytes long, but there are {there}");
            return Err(fields.fault(LENGTH, fault));
        }
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        if sum != 0 {
            let fault = format!("the checksum is wrong: all bytes sum up to {sum:#04x}, not to 0");
            return Err(fields.fault(CHECKSUM, fault));
        }
        Ok(Table {
            fields,
            revision: fields.byte(REVISION)?,
        })
    }

    /// The structures from byte `start` to the table's end.
    pub(super) fn structures(
        &self,
        start: usize,
        header: StructureHeader,
    ) -> Result<Vec<Structure<'a>>, TableError> {
        self.fields
            .at_least(start, "what comes before structures")?;
        let mut structures = Vec::new();
        let mut at = start;
        while at < self.fields.bytes.len() {
            let rest = self.fields.from(at)?;
            rest.at_least(header.bytes(), "a structure's type and length")?;
            let (kind, length) = header.read(rest)?;
            if length < header.bytes() {
                let fault = format!("a structure of type {kind} says it is {length} bytes long");
                return Err(rest.fault(0, fault));
            }
            let Some(bytes) = rest.bytes.get(..length) else {
                let left = rest.bytes.len();
                let fault = format!(
                    "a structure of type {kind} says it is {length} bytes long, but only {left} \
                     are left"
                );
                return Err(rest.fault(0, fault));
            };
            let fields = Fields { bytes, ..rest };
            structures.push(Structure { kind, fields });
            at += length;
        }
        Ok(structures)
    }
}

/// Bytes of a table, with their place in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    table: &'static str,
    start: usize,
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes from `at` on.
    pub(super) fn from(self, at: usize) -> Result<Fields<'a>, TableError> {
        let bytes = self.bytes.get(at..).ok_or_else(|| self.short(at, 0))?;
        Ok(Fields {
            start: self.start.saturating_add(at),
            bytes,
            ..self
        })
    }

    /// Refuses fewer bytes than `what` has.
    pub(super) fn at_least(&self, bytes: usize, what: &str) -> Result<(), TableError> {
        if self.bytes.len() >= bytes {
            return Ok(());
        }
        let there = self.bytes.len();
        let fault = format!("{what} has {bytes} bytes, but there are {there}");
        Err(self.fault(0, fault))
    }

    pub(super) fn byte(&self, at: usize) -> Result<u8, TableError> {
        let byte = self.bytes.get(at).copied();
        byte.ok_or_else(|| self.short(at, 1))
    }

    pub(super) fn word(&self, at: usize) -> Result<u16, TableError> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn dword(&self, at: usize) -> Result<u32, TableError> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn qword(&self, at: usize) -> Result<u64, TableError> {
        self.array(at).map(u64::from_le_bytes)
    }

    pub(super) fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], TableError> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or_else(|| self.short(at, N))
    }

    /// A fault at byte `at` of these.
    pub(super) fn fault(&self, at: usize, fault: impl Into<String>) -> TableError {
        TableError {
            table: self.table,
            offset: self.start.saturating_add(at),
            fault: fault.into(),
        }
    }

    fn short(&self, at: usize, bytes: usize) -> TableError {
        let there = self.bytes.len().saturating_sub(at);
        let fault = format!("{bytes} bytes are needed here, but there are {there}");
        self.fault(at, fault)
    }
}
