// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Windows as the kernel's CXL drivers show them below `bus/cxl/devices` (drivers/cxl/core/port.c,
//! region.c; Documentation/ABI/testing/sysfs-bus-cxl).

use std::fs;
use std::path::Path;

use chmu_machine::sysfs_file;
use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::interleave::{DecoderWindow, Interleave};

use super::{Translation, TranslationError, arithmetic};

/// What the kernel shows for a decoder without device memory.
const NO_RESOURCE: u64 = u64::MAX;
/// An interleave set has no more members.
const POSITIONS_MAX: u8 = 16;

/// The windows of a memory device such as `mem0`; none while no endpoint port belongs to it, because
/// the kernel's drivers did not get that far.
pub fn of_memory_device(
    sysfs: &Path,
    memdev: &str,
) -> Result<Option<Translation>, TranslationError> {
    let devices = sysfs.join("bus/cxl/devices");
    let Some(endpoint) = find_endpoint(&devices, memdev) else {
        return Ok(None);
    };
    let mut windows = Vec::new();
    for (_, folder) in sysfs_file::numbered(&devices, &format!("decoder{endpoint}.")) {
        let window = read_decoder(&devices, &folder)?;
        if let Some(window) = window.filter(|window| window.interleave.ways() > 1) {
            // The kernel's files do not tell by which arithmetic.
            arithmetic::host_window(sysfs, &window)?;
        }
        windows.extend(window);
    }
    if windows.is_empty() {
        return Err(TranslationError::NotCommitted {
            device: memdev.to_owned(),
        });
    }
    Translation::new(windows).map(Some)
}

/// The number of the endpoint port whose device is `memdev`.
fn find_endpoint(devices: &Path, memdev: &str) -> Option<u32> {
    sysfs_file::numbered(devices, "endpoint")
        .into_iter()
        .find(|(_, folder)| {
            let uport = fs::read_link(folder.join("uport"));
            uport.is_ok_and(|uport| uport.file_name() == Some(memdev.as_ref()))
        })
        .map(|(number, _)| number)
}

/// The window of an endpoint's decoder; none when it decodes nothing.
fn read_decoder(devices: &Path, folder: &Path) -> Result<Option<DecoderWindow>, TranslationError> {
    let number = |name: &str| sysfs_file::number(&folder.join(name));
    let dpa_bytes = number("dpa_size")?;
    let dpa_base = number("dpa_resource")?;
    if dpa_bytes == 0 || dpa_base == NO_RESOURCE {
        return Ok(None);
    }
    let decoder = folder.file_name().unwrap_or_default().to_string_lossy();
    let wrong = |reason: String| TranslationError::Decoder {
        decoder: decoder.clone().into_owned(),
        reason,
    };
    let region = sysfs_file::text(&folder.join("region"))?;
    let place = match region.is_empty() {
        false => read_region(&devices.join(&region), &decoder)?,
        true => Place {
            base: number("start")?,
            bytes: number("size")?,
            ways: number("interleave_ways")?,
            granularity: number("interleave_granularity")?,
            position: None,
        },
    };
    if place.bytes == 0 {
        return Ok(None);
    }
    let window = place.window(Dpa(dpa_base)).map_err(wrong)?;
    if window.dpa_bytes() != dpa_bytes {
        return Err(wrong(format!(
            "has {dpa_bytes:#x} bytes of device memory for {:#x} bytes in {} ways",
            place.bytes, place.ways
        )));
    }
    Ok(Some(window))
}

/// Where a decoder's memory appears.
struct Place {
    base: u64,
    bytes: u64,
    ways: u64,
    granularity: u64,
    position: Option<u8>,
}

impl Place {
    /// The window in front of the device memory from `dpa_base` on, or what is wrong with it.
    fn window(&self, dpa_base: Dpa) -> Result<DecoderWindow, String> {
        let interleave = match self.ways {
            1 => Some(Interleave::NONE),
            ways => u8::try_from(ways)
                .ok()
                .zip(u32::try_from(self.granularity).ok())
                .and_then(|(ways, granularity)| Interleave::new(ways, granularity)),
        };
        let interleave = interleave.ok_or_else(|| {
            format!(
                "interleaves {} ways with a granularity of {} bytes, which is no CXL interleave",
                self.ways, self.granularity
            )
        })?;
        let position = match self.position {
            _ if interleave.ways() == 1 => 0,
            Some(position) => position,
            None => {
                let reason = "is one of several ways, but no region or its region does not list it";
                return Err(reason.into());
            }
        };
        Ok(DecoderWindow {
            base: Hpa(self.base),
            size_bytes: self.bytes,
            interleave,
            position,
            dpa_base,
        })
    }
}

fn read_region(folder: &Path, decoder: &str) -> Result<Place, TranslationError> {
    let number = |name: &str| sysfs_file::number(&folder.join(name));
    let position = (0..POSITIONS_MAX).find(|position| {
        let target = sysfs_file::text(&folder.join(format!("target{position}")));
        target.is_ok_and(|target| target == decoder)
    });
    Ok(Place {
        base: number("resource")?,
        bytes: number("size")?,
        ways: number("interleave_ways")?,
        granularity: number("interleave_granularity")?,
        position,
    })
}
