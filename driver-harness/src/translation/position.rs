// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A function's position in an interleaved window, from the firmware's table of CXL windows (CEDT,
//! CXL r3.2 9.18.1) and the host bridge that the function hangs below.

use std::fs;
use std::path::Path;

use chmu_spec::interleave::{DecoderWindow, Interleave};

use super::TranslationError;
use crate::device::PciFunction;
use crate::sysfs_file::{self, SysfsError};

/// Bytes of the table's header.
const HEADER_BYTES: usize = 36;
/// Type of a structure that describes a window, and its bytes without targets.
const WINDOW_TYPE: u8 = 1;
const WINDOW_BYTES: usize = 36;
/// Interleave arithmetic: the granule's number modulo the ways.
const MODULO: u8 = 0;

/// The position of `function` in the set of devices behind `window`, where the interleaving is done
/// by the host alone.
pub(super) fn of_function(
    sysfs: &Path,
    function: &PciFunction,
    window: &DecoderWindow,
) -> Result<u8, TranslationError> {
    let unknown = |reason: String| TranslationError::Position {
        device: function.address.clone(),
        base: window.base,
        reason,
    };
    let path = sysfs.join("firmware/acpi/tables/CEDT");
    let table = fs::read(&path).map_err(|source| SysfsError::Read {
        path: path.clone(),
        source,
    })?;
    let windows =
        parse_windows(&table).map_err(|reason| TranslationError::Cedt { path, reason })?;
    let end = window.base.0.saturating_add(window.size_bytes);
    let host = windows
        .iter()
        .find(|host| host.base <= window.base.0 && end <= host.base.saturating_add(host.bytes))
        .ok_or_else(|| unknown("no CXL window of the firmware contains it".into()))?;
    if host.arithmetic != MODULO {
        return Err(unknown("the firmware interleaves it by XOR".into()));
    }
    let interleave = host
        .interleave
        .ok_or_else(|| unknown("the firmware's window has reserved codes".into()))?;
    if interleave != window.interleave {
        return Err(unknown(
            "host bridges or switches interleave it as well; bind cxl_pci so that the kernel tells"
                .into(),
        ));
    }
    let uid = host_bridge_uid(function)?;
    let offset = window.base.0 - host.base;
    let first = interleave.split(offset).position;
    let target = host.targets.iter().position(|&target| target == uid);
    let target = target
        .and_then(|target| u8::try_from(target).ok())
        .ok_or_else(|| unknown(format!("host bridge {uid} is none of its targets")))?;
    let ways = interleave.ways();
    Ok((target + ways - first) % ways)
}

/// The firmware's number of the host bridge above a function.
fn host_bridge_uid(function: &PciFunction) -> Result<u32, TranslationError> {
    let path = function.folder.clone();
    let real = fs::canonicalize(&path).map_err(|source| SysfsError::Read { path, source })?;
    let is_root = |folder: &&Path| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("pci") && name.contains(':')
    };
    let root = real.ancestors().find(is_root).unwrap_or(&real);
    let path = root.join("firmware_node/uid");
    let uid = sysfs_file::number(&path)?;
    u32::try_from(uid)
        .map_err(|_| sysfs_file::content(&path, uid.to_string(), "number of 32 bits").into())
}

/// A window of the firmware (CXL fixed memory window structure).
#[derive(Debug, PartialEq, Eq)]
struct HostWindow {
    base: u64,
    bytes: u64,
    interleave: Option<Interleave>,
    arithmetic: u8,
    /// Numbers of host bridges, by position.
    targets: Vec<u32>,
}

fn parse_windows(table: &[u8]) -> Result<Vec<HostWindow>, &'static str> {
    let mut windows = Vec::new();
    let mut rest = table.get(HEADER_BYTES..).ok_or("it is too short")?;
    while let [kind, _, low, high, ..] = *rest {
        let bytes = usize::from(u16::from_le_bytes([low, high]));
        if bytes < 4 {
            return Err("a structure is shorter than its header");
        }
        let structure = rest.get(..bytes).ok_or("a structure leaves the table")?;
        rest = &rest[bytes..];
        if kind == WINDOW_TYPE {
            windows.push(parse_window(structure).ok_or("a window is too short")?);
        }
    }
    Ok(windows)
}

fn parse_window(structure: &[u8]) -> Option<HostWindow> {
    let quad = |at: usize| {
        let bytes = structure.get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let granularity = u32::from_le_bytes(*structure.get(28..)?.first_chunk()?);
    let targets = structure.get(WINDOW_BYTES..)?.chunks_exact(4);
    Some(HostWindow {
        base: quad(8)?,
        bytes: quad(16)?,
        interleave: u8::try_from(granularity)
            .ok()
            .and_then(|granularity| Interleave::from_codes(*structure.get(24)?, granularity)),
        arithmetic: *structure.get(25)?,
        targets: targets
            .map(|target| u32::from_le_bytes([target[0], target[1], target[2], target[3]]))
            .collect(),
    })
}
