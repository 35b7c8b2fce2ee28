// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Numbers and layouts of the vfio-user protocol, version 0.0 (QEMU's `docs/interop/vfio-user.rst`);
//! all fields are little-endian.

use std::ops::Range;

/// Bytes of a message's header.
pub(super) const HEADER_BYTES: usize = 16;

/// Bits 3:0 of a message's flags: what it is.
pub(super) const FLAG_TYPE: u32 = 0xf;
/// It is a request.
pub(super) const TYPE_COMMAND: u32 = 0;
/// It is a reply.
pub(super) const TYPE_REPLY: u32 = 1;
/// The sender of the request wants no reply.
pub(super) const FLAG_NO_REPLY: u32 = 1 << 4;
/// The reply reports an error.
pub(super) const FLAG_ERROR: u32 = 1 << 5;

/// Requests that a client of this kind sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// Agree on a version.
    Version = 1,
    /// Kind of device, number of regions and interrupt types.
    DeviceInfo = 4,
    /// Size and mappable areas of a region.
    RegionInfo = 5,
    /// Vectors of an interrupt type.
    InterruptInfo = 7,
    /// Connect vectors with descriptors.
    SetInterrupts = 8,
    /// Read from a region.
    RegionRead = 9,
    /// Write to a region.
    RegionWrite = 10,
}

/// Version of the protocol: major and minor.
pub(super) const VERSION: (u16, u16) = (0, 0);

/// Region of configuration space; base address registers are regions 0 to 5.
pub(super) const REGION_CONFIG: u32 = 7;
/// Interrupt types: MSI and MSI-X.
pub(super) const INTERRUPT_MSI: u32 = 1;
pub(super) const INTERRUPT_MSI_X: u32 = 2;

/// Device flag: it is a PCI function.
pub(super) const DEVICE_PCI: u32 = 1 << 1;
/// Region flags: parts can be mapped; capabilities follow.
pub(super) const REGION_MAPPABLE: u32 = 1 << 2;
pub(super) const REGION_CAPABILITIES: u32 = 1 << 3;
/// Region capability: only some areas can be mapped.
pub(super) const CAPABILITY_SPARSE: u16 = 1;
/// Interrupt flags: descriptors of events come along; they are triggered by the device.
pub(super) const INTERRUPT_EVENTS: u32 = 1 << 2;
pub(super) const INTERRUPT_TRIGGER: u32 = 1 << 5;

/// Bytes of the fixed parts of messages behind the header.
pub(super) const DEVICE_INFO_BYTES: u32 = 16;
pub(super) const REGION_INFO_BYTES: u32 = 32;
pub(super) const INTERRUPT_INFO_BYTES: u32 = 16;
pub(super) const SET_INTERRUPTS_BYTES: u32 = 20;
pub(super) const REGION_ACCESS_BYTES: usize = 16;

/// Start of every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Chosen by who asks, repeated by who answers.
    pub(super) id: u16,
    pub(super) command: u16,
    /// Bytes of the message with its header.
    pub(super) bytes: u32,
    pub(super) flags: u32,
    /// An error number, with [`FLAG_ERROR`].
    pub(super) error: u32,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..2].copy_from_slice(&self.id.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.command.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.error.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Header {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        Header {
            id: u16::from_le_bytes([a, b]),
            command: u16::from_le_bytes([c, d]),
            bytes: u32::from_le_bytes([e, f, g, h]),
            flags: u32::from_le_bytes([i, j, k, l]),
            error: u32::from_le_bytes([m, n, o, p]),
        }
    }
}

/// A payload made of 32-bit fields.
pub(super) fn dwords(fields: &[u32]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect()
}

/// The start of a read or write of a region.
pub(super) fn region_access(region: u32, offset: u64, count: u32) -> Vec<u8> {
    let mut payload = offset.to_le_bytes().to_vec();
    payload.extend(dwords(&[region, count]));
    payload
}

/// A 32-bit field of a payload; none beyond its end.
pub(super) fn dword(payload: &[u8], at: usize) -> Option<u32> {
    let bytes = payload.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// A 64-bit field of a payload; none beyond its end.
pub(super) fn qword(payload: &[u8], at: usize) -> Option<u64> {
    let bytes = payload.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// What a server says of a region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RegionInfo {
    /// Bytes that the whole answer has.
    pub(super) needed_bytes: u32,
    /// Bytes of the region.
    pub(super) bytes: u64,
    /// Where the region starts in the file that comes along.
    pub(super) file_offset: u64,
    /// What of the region can be mapped.
    pub(super) areas: Vec<Range<u64>>,
}

impl RegionInfo {
    /// Reads an answer; none when it contradicts itself or is too short.
    pub(super) fn decode(payload: &[u8]) -> Option<RegionInfo> {
        let needed_bytes = dword(payload, 0)?;
        let flags = dword(payload, 4)?;
        let bytes = qword(payload, 16)?;
        let whole = needed_bytes <= u32::try_from(payload.len()).ok()?;
        let mut areas = Vec::new();
        if flags & REGION_MAPPABLE != 0 {
            let sparse = match flags & REGION_CAPABILITIES != 0 && whole {
                true => sparse_areas(payload, dword(payload, 12)?)?,
                false => None,
            };
            // One range of the whole region, until the areas are known.
            areas = sparse.unwrap_or_else(|| std::iter::once(0..bytes).collect());
        }
        Some(RegionInfo {
            needed_bytes,
            bytes,
            file_offset: qword(payload, 24)?,
            areas,
        })
    }
}

/// The areas of a capability for sparse mappings; the inner none is that there is no such
/// capability, the outer one that the capabilities are broken.
fn sparse_areas(payload: &[u8], first: u32) -> Option<Option<Vec<Range<u64>>>> {
    let mut at = usize::try_from(first).ok()?;
    while at != 0 {
        let head = dword(payload, at)?;
        let next = usize::try_from(dword(payload, at + 4)?).ok()?;
        if head & 0xffff == u32::from(CAPABILITY_SPARSE) {
            return read_areas(payload.get(at..)?).map(Some);
        }
        // A chain leads on, so that it ends.
        if next != 0 && next <= at {
            return None;
        }
        at = next;
    }
    Some(None)
}

fn read_areas(capability: &[u8]) -> Option<Vec<Range<u64>>> {
    let count = usize::try_from(dword(capability, 8)?).ok()?;
    let areas = capability.get(16..16_usize.checked_add(count.checked_mul(16)?)?)?;
    areas
        .chunks_exact(16)
        .map(|area| {
            let start = qword(area, 0)?;
            Some(start..start.checked_add(qword(area, 8)?)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A region of 64 KiB whose upper half can be mapped.
    fn answer() -> Vec<u8> {
        let mut answer = dwords(&[64, 0xf, 4, 32]);
        answer.extend(0x1_0000_u64.to_le_bytes());
        answer.extend(0x2000_u64.to_le_bytes());
        answer.extend(dwords(&[1 << 16 | 1, 0, 1, 0]));
        answer.extend(0x8000_u64.to_le_bytes());
        answer.extend(0x8000_u64.to_le_bytes());
        answer
    }

    #[test]
    fn sparse_areas_are_read() {
        let info = RegionInfo::decode(&answer()).unwrap();
        assert_eq!(info.needed_bytes, 64);
        assert_eq!(info.bytes, 0x1_0000);
        assert_eq!(info.file_offset, 0x2000);
        assert_eq!(info.areas.len(), 1);
        assert_eq!(info.areas[0], 0x8000..0x1_0000);
    }

    #[test]
    fn a_short_answer_tells_only_how_long_it_should_be() {
        let info = RegionInfo::decode(&answer()[..32]).unwrap();
        assert_eq!(info.needed_bytes, 64);
        assert_eq!(RegionInfo::decode(&answer()[..31]), None);
    }

    #[test]
    fn chains_that_lead_back_and_areas_that_are_not_there_are_refused() {
        let mut back = answer();
        back[32] = 2;
        back[36] = 32;
        assert_eq!(RegionInfo::decode(&back), None);
        let mut many = answer();
        many[43] = 0xff;
        assert_eq!(RegionInfo::decode(&many), None);
        let mut none = answer();
        none[12] = 0;
        let info = RegionInfo::decode(&none).unwrap();
        assert_eq!(info.areas.len(), 1);
        assert_eq!(info.areas[0], 0..0x1_0000);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..128),
            cap_offset in 0_u32..160,
        ) {
            let _ = RegionInfo::decode(&bytes);
            let mut flagged = bytes;
            if flagged.len() >= 32 {
                flagged[..16].copy_from_slice(&dwords(&[32, 0xf, 0, cap_offset]));
                let _ = RegionInfo::decode(&flagged);
            }
        }

        #[test]
        fn headers_lead_back(id: u16, command: u16, bytes: u32, flags: u32, error: u32) {
            let header = Header { id, command, bytes, flags, error };
            prop_assert_eq!(Header::decode(&header.encode()), header);
        }
    }
}
