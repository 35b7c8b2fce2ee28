// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Message layouts of the vfio-user protocol, version 0.0 (QEMU's `docs/interop/vfio-user.rst`).
//!
//! The `vfio_user` crate has the same layouts, but keeps them private. All fields are in host
//! byte order; the protocol runs on one machine, and this device on little-endian ones.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a message header.
pub(super) const HEADER_BYTES: usize = size_of::<Header>();
/// Bytes of data that one `REGION_READ` or `REGION_WRITE` may carry (`max_data_xfer_size`).
pub(super) const MAX_DATA_BYTES: u32 = 1 << 20;
/// File descriptors that one message may carry (`max_msg_fds`).
pub(super) const MAX_MESSAGE_FDS: usize = 16;
/// Bytes that a message may have after its header: a `REGION_WRITE` of the largest size.
pub(super) const MAX_PAYLOAD_BYTES: usize = size_of::<RegionAccess>() + MAX_DATA_BYTES as usize;

/// Bits 3:0 of [`Header::flags`]: command or reply.
pub(super) const FLAG_TYPE_MASK: u32 = 0xf;
/// Message type of a request.
pub(super) const TYPE_COMMAND: u32 = 0;
/// Message type of a reply.
pub(super) const TYPE_REPLY: u32 = 1;
/// The sender of this request wants no reply, not even of a failure.
pub(super) const FLAG_NO_REPLY: u32 = 1 << 4;
/// This reply reports a failure; [`Header::error`] says which.
pub(super) const FLAG_ERROR: u32 = 1 << 5;

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Command {
    /// Agree on a protocol version; the first message of every connection.
    Version,
    /// A range of guest memory became reachable for the device.
    DmaMap,
    /// A range of guest memory is no longer reachable.
    DmaUnmap,
    /// Kind of device, number of regions and interrupt types.
    DeviceGetInfo,
    /// Size, access and mappable areas of one region.
    DeviceGetRegionInfo,
    /// Descriptors for access without messages (ioeventfd); not supported.
    DeviceGetRegionIoFds,
    /// Number of vectors of one interrupt type.
    DeviceGetIrqInfo,
    /// Connect vectors with eventfds.
    DeviceSetIrqs,
    RegionRead,
    RegionWrite,
    /// Reads guest memory; sent by servers only, and refused here.
    DmaRead,
    /// Writes guest memory; sent by servers only, and refused here.
    DmaWrite,
    DeviceReset,
    /// Dirty page tracking for migration; not supported.
    DirtyPages,
    /// Several region writes in one message; not offered in the version reply, not supported.
    RegionWriteMulti,
    /// A number that the protocol does not define.
    Unknown(u16),
}

impl Command {
    /// The protocol's name of the command, as metrics and logs spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::DmaMap => "dma_map",
            Self::DmaUnmap => "dma_unmap",
            Self::DeviceGetInfo => "device_get_info",
            Self::DeviceGetRegionInfo => "device_get_region_info",
            Self::DeviceGetRegionIoFds => "device_get_region_io_fds",
            Self::DeviceGetIrqInfo => "device_get_irq_info",
            Self::DeviceSetIrqs => "device_set_irqs",
            Self::RegionRead => "region_read",
            Self::RegionWrite => "region_write",
            Self::DmaRead => "dma_read",
            Self::DmaWrite => "dma_write",
            Self::DeviceReset => "device_reset",
            Self::DirtyPages => "dirty_pages",
            Self::RegionWriteMulti => "region_write_multi",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl From<u16> for Command {
    fn from(number: u16) -> Self {
        match number {
            1 => Self::Version,
            2 => Self::DmaMap,
            3 => Self::DmaUnmap,
            4 => Self::DeviceGetInfo,
            5 => Self::DeviceGetRegionInfo,
            6 => Self::DeviceGetRegionIoFds,
            7 => Self::DeviceGetIrqInfo,
            8 => Self::DeviceSetIrqs,
            9 => Self::RegionRead,
            10 => Self::RegionWrite,
            11 => Self::DmaRead,
            12 => Self::DmaWrite,
            13 => Self::DeviceReset,
            14 => Self::DirtyPages,
            15 => Self::RegionWriteMulti,
            other => Self::Unknown(other),
        }
    }
}

/// The first 16 bytes of every message, requests and replies.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// Chosen by the sender of the request, repeated in the reply.
    pub(crate) message_id: U16,
    /// Number of the command, as in [`Command`].
    pub(crate) command: U16,
    /// Bytes of the message, this header included.
    pub(crate) message_size: U32,
    /// Type in the low 4 bits, flags above.
    pub(crate) flags: U32,
    /// errno of a reply with [`FLAG_ERROR`].
    pub(crate) error: U32,
}

/// Payload of `VERSION`, before the JSON text.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Version {
    /// Versions with another major number do not understand each other.
    pub(crate) major: U16,
    /// Later minor versions only add.
    pub(crate) minor: U16,
}

/// Payload of `DMA_MAP`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DmaMap {
    /// Bytes of this structure.
    pub(crate) argument_bytes: U32,
    /// Bit 0 readable, bit 1 writable.
    pub(crate) flags: U32,
    /// Offset of the range in the descriptor that came with the message.
    pub(crate) offset: U64,
    /// First address of the range as the device sees it.
    pub(crate) address: U64,
    /// Bytes of the range.
    pub(crate) size: U64,
}

/// Payload of `DMA_UNMAP`, of the request and of the reply.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DmaUnmap {
    /// Bytes of this structure.
    pub(crate) argument_bytes: U32,
    /// Bit 1 asks for a dirty bitmap, bit 2 for everything to be unmapped.
    pub(crate) flags: U32,
    /// First address of the range as the device sees it.
    pub(crate) address: U64,
    /// Bytes of the range.
    pub(crate) size: U64,
}

/// Payload of `DEVICE_GET_INFO`, of the request and of the reply.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct DeviceInfo {
    /// Bytes of this structure.
    pub(crate) argument_bytes: U32,
    /// `VFIO_DEVICE_FLAGS_*`.
    pub(crate) flags: U32,
    /// Number of region indices.
    pub(crate) region_count: U32,
    /// Number of interrupt indices.
    pub(crate) irq_count: U32,
}

/// Payload of `DEVICE_GET_REGION_INFO`, of the request and of the reply.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegionInfo {
    /// Request: bytes the client has room for. Reply: bytes that a full answer takes.
    pub(crate) argument_bytes: U32,
    /// `VFIO_REGION_INFO_FLAG_*`.
    pub(crate) flags: U32,
    /// Region index.
    pub(crate) index: U32,
    /// Offset of the first capability from the start of this structure; 0 is none.
    pub(crate) capability_offset: U32,
    /// Bytes of the region.
    pub(crate) size: U64,
    /// Offset of the region in the descriptor that comes with the reply.
    pub(crate) offset: U64,
}

/// Start of a sparse mmap capability; areas follow.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SparseMmap {
    /// `VFIO_REGION_INFO_CAP_SPARSE_MMAP`.
    pub(crate) id: U16,
    /// Version of the capability, which is 1.
    pub(crate) version: U16,
    /// Offset of the next capability; 0 is none.
    pub(crate) next: U32,
    /// Number of areas.
    pub(crate) area_count: U32,
    /// Always 0.
    pub(crate) reserved: U32,
}

/// One mappable area of a region.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SparseMmapArea {
    /// Offset from the start of the region, page aligned.
    pub(crate) offset: U64,
    /// Bytes, whole pages.
    pub(crate) size: U64,
}

/// Payload of `DEVICE_GET_IRQ_INFO`, of the request and of the reply.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct IrqInfo {
    /// Bytes of this structure.
    pub(crate) argument_bytes: U32,
    /// `VFIO_IRQ_INFO_*`.
    pub(crate) flags: U32,
    /// Interrupt type.
    pub(crate) index: U32,
    /// Number of vectors.
    pub(crate) count: U32,
}

/// Payload of `DEVICE_SET_IRQS`; eventfds come as file descriptors.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct IrqSet {
    /// Bytes of this structure.
    pub(crate) argument_bytes: U32,
    /// `VFIO_IRQ_SET_*`: one data type and one action.
    pub(crate) flags: U32,
    /// Interrupt type.
    pub(crate) index: U32,
    /// First vector.
    pub(crate) start: U32,
    /// Number of vectors.
    pub(crate) count: U32,
}

/// Payload of `REGION_READ` and `REGION_WRITE`, before the data.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RegionAccess {
    /// Offset from the start of the region.
    pub(crate) offset: U64,
    /// Region index.
    pub(crate) region: U32,
    /// Bytes of data.
    pub(crate) count: U32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_the_sizes_of_the_protocol() {
        let sizes = [
            (HEADER_BYTES, 16),
            (size_of::<Version>(), 4),
            (size_of::<DmaMap>(), 32),
            (size_of::<DmaUnmap>(), 24),
            (size_of::<DeviceInfo>(), 16),
            (size_of::<RegionInfo>(), 32),
            (size_of::<SparseMmap>(), 16),
            (size_of::<SparseMmapArea>(), 16),
            (size_of::<IrqInfo>(), 16),
            (size_of::<IrqSet>(), 20),
            (size_of::<RegionAccess>(), 16),
        ];
        for (actual, expected) in sizes {
            assert_eq!(actual, expected);
        }
    }

    #[test]
    fn command_numbers_are_those_of_the_protocol() {
        let named: Vec<&str> = (0..=16)
            .map(|number| Command::from(number).name())
            .collect();
        assert_eq!(
            named,
            [
                "unknown",
                "version",
                "dma_map",
                "dma_unmap",
                "device_get_info",
                "device_get_region_info",
                "device_get_region_io_fds",
                "device_get_irq_info",
                "device_set_irqs",
                "region_read",
                "region_write",
                "dma_read",
                "dma_write",
                "device_reset",
                "dirty_pages",
                "region_write_multi",
                "unknown",
            ]
        );
    }
}
