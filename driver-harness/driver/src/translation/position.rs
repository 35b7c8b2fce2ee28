// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A function's position in an interleaved window: the firmware spreads a window over host bridges,
//! and a host bridge spreads its part over root ports. The device's own decoder holds neither.

use std::fs;
use std::path::{Path, PathBuf};

use chmu_machine::acpi::cedt::Window;
use chmu_machine::sysfs_file::{self, SysfsError};
use chmu_spec::address::Hpa;
use chmu_spec::cxl::component::BLOCK_BYTES;
use chmu_spec::interleave::{DecoderWindow, Interleave};
use chmu_spec::pci::{capability, express, header};

use super::TranslationError;
use super::arithmetic::{HostWindow, host_window};
use super::component::{ComponentError, Decoder, committed_decoders};
use crate::device::PciFunction;
use crate::transport::physical::PhysicalRegisters;

/// No capability is shorter than a dword, so no list in 256 bytes is longer.
const CAPABILITIES_MAX: usize = 48;

/// The position of `function` in the set of devices behind `window`. `memory` is the file of the
/// machine's physical memory, where the host bridge's decoders are.
pub(super) fn of_function(
    sysfs: &Path,
    memory: &Path,
    function: &PciFunction,
    window: &DecoderWindow,
) -> Result<u8, TranslationError> {
    let unknown = |reason: String| TranslationError::Position {
        device: function.address.clone(),
        base: window.base,
        reason,
    };
    let HostWindow {
        cedt,
        window: host,
        interleave: host_ways,
    } = host_window(sysfs, window)?;
    let path = Ancestry::read(function)?;
    // Without a decoder in the host bridge, everything behind it is one target.
    let mut bridge = None;
    if host_ways.ways() != window.interleave.ways() {
        let found = cedt.bridges.iter().find(|bridge| bridge.uid == path.uid);
        let registers = found
            .ok_or_else(|| unknown(format!("the firmware has no host bridge {}", path.uid)))?
            .registers
            .0;
        let decoder = bridge_decoder(memory, registers, window, unknown)?;
        bridge = Some((decoder, path.port_number().map_err(unknown)?));
    }
    let is_ours = |hpa: Hpa| {
        host_target(&host, host_ways, hpa) == Some(path.uid)
            && bridge
                .as_ref()
                .is_none_or(|(decoder, port)| decoder.target(hpa) == Some(*port))
    };
    let granularity = u64::from(window.interleave.granularity_bytes());
    let granule = |position: u8| Hpa(window.base.0 + u64::from(position) * granularity);
    let ways = 0..window.interleave.ways();
    let ours: Vec<u8> = ways
        .filter(|&position| is_ours(granule(position)))
        .collect();
    match *ours {
        [position] => Ok(position),
        _ => Err(unknown(format!(
            "{} of its {} granules lead to the device",
            ours.len(),
            window.interleave.ways()
        ))),
    }
}

/// The host bridge that the firmware sends an address to.
fn host_target(host: &Window, interleave: Interleave, hpa: Hpa) -> Option<u32> {
    let offset = hpa.0.checked_sub(host.base.0)?;
    let position = interleave.split(offset).position;
    host.targets.get(usize::from(position)).copied()
}

/// A host bridge's decoder of a window.
struct BridgeDecoder {
    base: u64,
    interleave: Interleave,
    /// Port numbers by position.
    targets: [u8; 8],
}

impl BridgeDecoder {
    /// The number of the root port that an address is sent to.
    fn target(&self, hpa: Hpa) -> Option<u8> {
        let offset = hpa.0.checked_sub(self.base)?;
        let position = self.interleave.split(offset).position;
        self.targets.get(usize::from(position)).copied()
    }
}

fn bridge_decoder(
    memory: &Path,
    address: u64,
    window: &DecoderWindow,
    unknown: impl Fn(String) -> TranslationError,
) -> Result<BridgeDecoder, TranslationError> {
    let registers = PhysicalRegisters::map(memory, address, BLOCK_BYTES)?;
    let decoders = committed_decoders(|offset| registers.read(offset));
    let decoders = decoders.map_err(|error| match error {
        ComponentError::Transport(error) => error.into(),
        ComponentError::Wrong(reason) => unknown(format!(
            "the host bridge's component registers at {address:#x} {reason}"
        )),
    })?;
    let covers = |decoder: &&Decoder| {
        let end = decoder.base.saturating_add(decoder.bytes);
        decoder.base <= window.base.0 && window.base.0.saturating_add(window.size_bytes) <= end
    };
    let decoder = decoders
        .iter()
        .find(covers)
        .ok_or_else(|| unknown("no committed decoder of the host bridge contains it".into()))?;
    let interleave = decoder.control.interleave();
    Ok(BridgeDecoder {
        base: decoder.base,
        interleave: interleave
            .ok_or_else(|| unknown("the host bridge's decoder has reserved codes".into()))?,
        targets: decoder.skip_or_targets.to_le_bytes(),
    })
}

/// What lies between a function and its root complex.
struct Ancestry {
    /// The firmware's number of the host bridge.
    uid: u32,
    /// The bridges above the function, nearest first, as folders in sysfs.
    bridges: Vec<PathBuf>,
}

impl Ancestry {
    fn read(function: &PciFunction) -> Result<Ancestry, TranslationError> {
        let path = function.folder.clone();
        let real = fs::canonicalize(&path).map_err(|source| SysfsError::Read { path, source })?;
        let mut bridges = Vec::new();
        let mut root = real.clone();
        for folder in real.ancestors().skip(1) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("pci") && name.contains(':') {
                root = folder.to_owned();
                break;
            }
            bridges.push(folder.to_owned());
        }
        let path = root.join("firmware_node/uid");
        let uid = sysfs_file::number(&path)?;
        let uid = u32::try_from(uid)
            .map_err(|_| sysfs_file::content(&path, uid.to_string(), "number of 32 bits"))?;
        Ok(Ancestry { uid, bridges })
    }

    /// The number of the root port that the function hangs on directly.
    fn port_number(&self) -> Result<u8, String> {
        let [port] = &*self.bridges else {
            return Err("there is a switch between the function and its root port".into());
        };
        let path = port.join("config");
        let config = fs::read(&path);
        let config = config.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        port_number(&config).ok_or_else(|| "its root port has no PCI Express capability".into())
    }
}

/// The port number in the link capabilities of a bridge's configuration space.
fn port_number(config: &[u8]) -> Option<u8> {
    let mut at = *config.get(usize::from(header::CAPABILITIES))?;
    for _ in 0..CAPABILITIES_MAX {
        // Bits 1:0 of the pointer are reserved.
        let offset = usize::from(at & 0xfc);
        let [id, next] = *config.get(offset..)?.first_chunk()?;
        if offset == 0 {
            return None;
        }
        if id == capability::PCI_EXPRESS {
            let link = offset + usize::from(express::LINK_CAPABILITIES);
            return config.get(link + 3).copied();
        }
        at = next;
    }
    None
}

#[cfg(test)]
mod tests;
