// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DEVICE_GET_REGION_INFO`, `REGION_READ` and `REGION_WRITE`.

use std::fs::File;
use std::sync::Arc;

use chmu_spec::native::to_usize;
use vfio_bindings::bindings::vfio::{
    VFIO_REGION_INFO_CAP_SPARSE_MMAP, VFIO_REGION_INFO_FLAG_CAPS, VFIO_REGION_INFO_FLAG_MMAP,
    VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
};
use zerocopy::IntoBytes;

use super::backend::{Backend, Region};
use super::error::RequestError;
use super::layout::{checked_layout, layout};
use super::protocol::{MAX_DATA_BYTES, RegionAccess, RegionInfo, SparseMmap, SparseMmapArea};

/// Offset of the first capability of a region, from the start of its [`RegionInfo`].
const CAPABILITY_OFFSET: usize = size_of::<RegionInfo>();

/// Answers `DEVICE_GET_REGION_INFO`; returns the file that goes with the reply.
///
/// A client asks twice: the first answer says how many bytes the capabilities take, the second
/// one carries them. Both name the capability offset, because QEMU refuses a region whose flags
/// announce capabilities at offset 0.
///
/// # Errors
/// When the region index does not exist.
pub(super) fn information(
    payload: &[u8],
    backend: &dyn Backend,
    reply: &mut Vec<u8>,
) -> Result<Option<Arc<File>>, RequestError> {
    let request = checked_layout::<RegionInfo>(payload, |info| info.argument_bytes)?;
    let index = request.index.get();
    let region = region(index, backend)?;
    let capability = sparse_mmap(region);
    let needed = CAPABILITY_OFFSET.saturating_add(capability.len());
    let room = to_usize(request.argument_bytes.get().into());

    let mut flags = 0;
    if region.size_bytes > 0 {
        flags |= VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    }
    if !capability.is_empty() {
        flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
    }
    let info = RegionInfo {
        argument_bytes: u32::try_from(needed).unwrap_or(u32::MAX).into(),
        flags: flags.into(),
        index: index.into(),
        capability_offset: if capability.is_empty() {
            0.into()
        } else {
            u32::try_from(CAPABILITY_OFFSET).unwrap_or_default().into()
        },
        size: region.size_bytes.into(),
        offset: 0.into(),
    };
    reply.extend_from_slice(info.as_bytes());
    if capability.is_empty() || room < needed {
        return Ok(None);
    }
    reply.extend_from_slice(&capability);
    Ok(region.file.clone())
}

/// The sparse mmap capability of a region; empty when nothing of it can be mapped.
fn sparse_mmap(region: &Region) -> Vec<u8> {
    let count = u32::try_from(region.mappable_areas.len()).unwrap_or(u32::MAX);
    if count == 0 || region.file.is_none() {
        return Vec::new();
    }
    let head = SparseMmap {
        id: u16::try_from(VFIO_REGION_INFO_CAP_SPARSE_MMAP)
            .unwrap_or_default()
            .into(),
        version: 1.into(),
        next: 0.into(),
        area_count: count.into(),
        reserved: 0.into(),
    };
    let mut bytes = head.as_bytes().to_vec();
    for area in &region.mappable_areas {
        let area = SparseMmapArea {
            offset: area.start.into(),
            size: area.end.saturating_sub(area.start).into(),
        };
        bytes.extend_from_slice(area.as_bytes());
    }
    bytes
}

/// Carries `REGION_READ` out.
///
/// # Errors
/// When the range is not inside its region, longer than negotiated, or refused by the device.
pub(super) fn read(
    payload: &[u8],
    backend: &mut dyn Backend,
    reply: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let (access, _) = access(payload, backend)?;
    let count = usize::try_from(access.count.get()).unwrap_or_default();
    reply.extend_from_slice(access.as_bytes());
    let start = reply.len();
    reply.resize(start.saturating_add(count), 0);
    let data = reply.get_mut(start..).unwrap_or_default();
    backend
        .read(access.region.get(), access.offset.get(), data)
        .map_err(|_| refused(&access))
}

/// Carries `REGION_WRITE` out.
///
/// # Errors
/// When the range is not inside its region, longer than negotiated, refused by the device, or
/// not the length of the data.
pub(super) fn write(
    payload: &[u8],
    backend: &mut dyn Backend,
    reply: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let (access, data) = access(payload, backend)?;
    let count = access.count.get();
    if usize::try_from(count) != Ok(data.len()) {
        return Err(RequestError::DataCount {
            count,
            carried: data.len(),
        });
    }
    backend
        .write(access.region.get(), access.offset.get(), data)
        .map_err(|_| refused(&access))?;
    reply.extend_from_slice(access.as_bytes());
    Ok(())
}

/// Parses an access and checks its range; returns it with the data that follows.
fn access<'a>(
    payload: &'a [u8],
    backend: &dyn Backend,
) -> Result<(RegionAccess, &'a [u8]), RequestError> {
    let (access, data) = layout::<RegionAccess>(payload).ok_or(RequestError::TooShort {
        bytes: payload.len(),
        needed: size_of::<RegionAccess>(),
    })?;
    let count = access.count.get();
    if count > MAX_DATA_BYTES {
        return Err(RequestError::TransferSize(count));
    }
    let size_bytes = region(access.region.get(), backend)?.size_bytes;
    match access.offset.get().checked_add(u64::from(count)) {
        Some(end) if end <= size_bytes && count > 0 => Ok((access, data)),
        _ => Err(refused(&access)),
    }
}

fn region(index: u32, backend: &dyn Backend) -> Result<&Region, RequestError> {
    usize::try_from(index)
        .ok()
        .and_then(|index| backend.regions().get(index))
        .ok_or(RequestError::UnknownRegion(index))
}

fn refused(access: &RegionAccess) -> RequestError {
    RequestError::Access {
        region: access.region.get(),
        offset: access.offset.get(),
        count: access.count.get(),
    }
}
