// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The firmware's table of CXL host bridges and windows (CEDT, CXL r3.2 9.18.1).

use std::fs;
use std::path::Path;

use chmu_machine::sysfs_file::SysfsError;
use chmu_spec::interleave::Interleave;

use super::TranslationError;

/// Bytes of the table's header.
const HEADER_BYTES: usize = 36;
/// Types of structures: a host bridge (CHBS), a window (CFMWS).
const BRIDGE_TYPE: u8 = 0;
const WINDOW_TYPE: u8 = 1;
/// Bytes of a window without targets.
const WINDOW_BYTES: usize = 36;
/// Interleave arithmetic: the granule's number modulo the ways.
const MODULO: u8 = 0;

/// What the table says.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Cedt {
    pub(super) bridges: Vec<Bridge>,
    pub(super) windows: Vec<Window>,
}

/// A host bridge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bridge {
    /// The number that the firmware gives it everywhere.
    pub(super) uid: u32,
    /// Where its component registers start.
    pub(super) registers: u64,
}

/// A window of host physical addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) base: u64,
    pub(super) bytes: u64,
    /// How it is spread over host bridges; none for reserved codes.
    pub(super) interleave: Option<Interleave>,
    /// The spreading follows the granule's number, not an XOR of address bits.
    pub(super) is_modulo: bool,
    /// Numbers of host bridges, by position.
    pub(super) targets: Vec<u32>,
}

impl Window {
    /// Whether the window contains these bytes.
    pub(super) fn contains(&self, base: u64, bytes: u64) -> bool {
        let end = base.checked_add(bytes);
        self.base <= base && end.is_some_and(|end| end <= self.base.saturating_add(self.bytes))
    }
}

impl Cedt {
    /// Reads the table below `sysfs`.
    pub(super) fn read(sysfs: &Path) -> Result<Cedt, TranslationError> {
        let path = sysfs.join("firmware/acpi/tables/CEDT");
        let table = fs::read(&path).map_err(|source| SysfsError::Read {
            path: path.clone(),
            source,
        })?;
        Cedt::parse(&table).map_err(|reason| TranslationError::Cedt { path, reason })
    }

    fn parse(table: &[u8]) -> Result<Cedt, &'static str> {
        let mut cedt = Cedt::default();
        let mut rest = table.get(HEADER_BYTES..).ok_or("it is too short")?;
        while let [kind, _, low, high, ..] = *rest {
            let bytes = usize::from(u16::from_le_bytes([low, high]));
            if bytes < 4 {
                return Err("a structure is shorter than its header");
            }
            let structure = rest.get(..bytes).ok_or("a structure leaves the table")?;
            rest = &rest[bytes..];
            match kind {
                BRIDGE_TYPE => {
                    let bridge = parse_bridge(structure);
                    cedt.bridges
                        .push(bridge.ok_or("a host bridge is too short")?);
                }
                WINDOW_TYPE => {
                    let window = parse_window(structure);
                    cedt.windows.push(window.ok_or("a window is too short")?);
                }
                _ => {}
            }
        }
        Ok(cedt)
    }
}

fn parse_bridge(structure: &[u8]) -> Option<Bridge> {
    Some(Bridge {
        uid: dword(structure, 4)?,
        registers: qword(structure, 16)?,
    })
}

fn parse_window(structure: &[u8]) -> Option<Window> {
    let granularity = u8::try_from(dword(structure, 28)?).ok();
    let ways = *structure.get(24)?;
    let targets = structure.get(WINDOW_BYTES..)?.chunks_exact(4);
    Some(Window {
        base: qword(structure, 8)?,
        bytes: qword(structure, 16)?,
        interleave: granularity.and_then(|granularity| Interleave::from_codes(ways, granularity)),
        is_modulo: *structure.get(25)? == MODULO,
        targets: targets.filter_map(|target| dword(target, 0)).collect(),
    })
}

fn dword(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn qword(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
