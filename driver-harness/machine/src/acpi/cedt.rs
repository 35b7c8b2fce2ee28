// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CXL Early Discovery Table (CXL r3.2 9.18.1): host bridges, windows of host physical addresses, and
//! the XOR maps by which windows may be interleaved.

use chmu_spec::address::Hpa;
use chmu_spec::interleave::Interleave;

use super::table::{Fields, HEADER_BYTES, StructureHeader, Table, TableError};

/// Types of structures, and the bytes they have at least.
const HOST_BRIDGE: (u16, usize) = (0, 32);
const WINDOW: (u16, usize) = (1, 36);
const XOR_MAPS: (u16, usize) = (2, 8);

/// What the table says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cedt {
    /// Host bridges (CHBS).
    pub bridges: Vec<HostBridge>,
    /// Windows (CFMWS).
    pub windows: Vec<Window>,
    /// XOR maps (CXIMS), by granularity.
    pub xor_maps: Vec<XorMaps>,
}

/// A CXL host bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostBridge {
    /// The number that the firmware gives it everywhere.
    pub uid: u32,
    /// Where its component registers start.
    pub registers: Hpa,
    /// Their bytes.
    pub bytes: u64,
}

/// How an address is spread over the targets of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// The number of the granule modulo the ways.
    Modulo,
    /// Bits of the position are parities of address bits ([`Cedt::xor_maps_of`]).
    Xor,
    /// A code that is reserved.
    Reserved(u8),
}

/// A window of host physical addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// First byte.
    pub base: Hpa,
    /// Bytes.
    pub bytes: u64,
    /// How many host bridges it is spread over, and how finely; none for reserved codes.
    pub interleave: Option<Interleave>,
    /// By which rule.
    pub arithmetic: Arithmetic,
    /// Numbers of host bridges, by position.
    pub targets: Vec<u32>,
}

impl Window {
    /// Whether the window contains all these bytes.
    pub fn contains(&self, base: Hpa, bytes: u64) -> bool {
        let end = base.0.checked_add(bytes);
        self.base <= base && end.is_some_and(|end| end <= self.base.0.saturating_add(self.bytes))
    }
}

/// The XOR maps for windows of one granularity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XorMaps {
    /// Bytes of a granule.
    pub granularity_bytes: u32,
    /// Bit n of a position is the parity of the address bits that map n names.
    pub maps: Vec<u64>,
}

impl Cedt {
    /// Parses a whole table.
    ///
    /// # Errors
    /// A header, a length or a code that is no such table's, and a window with fewer targets than
    /// ways or beyond 64 bits.
    pub fn parse(bytes: &[u8]) -> Result<Cedt, TableError> {
        let table = Table::parse("CEDT", bytes)?;
        let mut cedt = Cedt::default();
        for structure in table.structures(HEADER_BYTES, StructureHeader::Word)? {
            let fields = structure.fields;
            let known = [HOST_BRIDGE, WINDOW, XOR_MAPS];
            let Some((_, bytes)) = known
                .into_iter()
                .find(|(known, _)| *known == structure.kind)
            else {
                continue;
            };
            fields.at_least(bytes, &format!("a structure of type {}", structure.kind))?;
            match (structure.kind, bytes) {
                HOST_BRIDGE => cedt.bridges.push(HostBridge {
                    uid: fields.dword(4)?,
                    registers: Hpa(fields.qword(16)?),
                    bytes: fields.qword(24)?,
                }),
                WINDOW => cedt.windows.push(parse_window(fields)?),
                _ => cedt.xor_maps.push(parse_xor_maps(fields)?),
            }
        }
        Ok(cedt)
    }

    /// The window that contains all these bytes.
    pub fn window_of(&self, base: Hpa, bytes: u64) -> Option<&Window> {
        let mut windows = self.windows.iter();
        windows.find(|window| window.contains(base, bytes))
    }

    /// The maps of a window that is interleaved by XOR; none where the table has no such maps, or
    /// fewer than the window's ways need.
    pub fn xor_maps_of(&self, window: &Window) -> Option<&[u64]> {
        let interleave = window.interleave?;
        // The factor of 3 in 3, 6 and 12 ways is a modulo in either arithmetic.
        let needed = usize::try_from(interleave.ways().trailing_zeros()).ok()?;
        let mut maps = self.xor_maps.iter();
        let maps = maps.find(|maps| {
            maps.granularity_bytes == interleave.granularity_bytes() && maps.maps.len() >= needed
        });
        maps.map(|maps| &maps.maps[..needed])
    }
}

fn parse_window(fields: Fields<'_>) -> Result<Window, TableError> {
    let (base, bytes) = (fields.qword(8)?, fields.qword(16)?);
    if base.checked_add(bytes).is_none() {
        let fault = format!("a window of {bytes:#x} bytes from {base:#x} on ends beyond 64 bits");
        return Err(fields.fault(16, fault));
    }
    let (ways, granularity) = (fields.byte(24)?, fields.dword(28)?);
    let code = u8::try_from(granularity).ok();
    let interleave = code.and_then(|code| Interleave::from_codes(ways, code));
    // One window that is strange does not make the others useless.
    let positions = interleave.map_or(0, |interleave| usize::from(interleave.ways()));
    fields.at_least(
        WINDOW.1 + 4 * positions,
        &format!("a window over {positions} host bridges"),
    )?;
    let target = |position| fields.dword(WINDOW.1 + 4 * position);
    Ok(Window {
        base: Hpa(base),
        bytes,
        interleave,
        arithmetic: match fields.byte(25)? {
            0 => Arithmetic::Modulo,
            1 => Arithmetic::Xor,
            reserved => Arithmetic::Reserved(reserved),
        },
        targets: (0..positions).map(target).collect::<Result<_, _>>()?,
    })
}

fn parse_xor_maps(fields: Fields<'_>) -> Result<XorMaps, TableError> {
    let code = fields.byte(6)?;
    let interleave = Interleave::from_codes(0, code);
    let interleave =
        interleave.ok_or_else(|| fields.fault(6, format!("code {code} is no granularity")))?;
    let count = usize::from(fields.byte(7)?);
    fields.at_least(
        XOR_MAPS.1 + 8 * count,
        &format!("a structure with {count} XOR maps"),
    )?;
    let map = |index| fields.qword(XOR_MAPS.1 + 8 * index);
    Ok(XorMaps {
        granularity_bytes: interleave.granularity_bytes(),
        maps: (0..count).map(map).collect::<Result<_, _>>()?,
    })
}
