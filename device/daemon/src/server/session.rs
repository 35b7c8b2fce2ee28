// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The protocol of one connection: request in, reply out. No sockets here.

use std::fmt::Display;
use std::fs::File;
use std::sync::Arc;

use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_PCI_NUM_IRQS,
};
use zerocopy::IntoBytes;

use super::backend::Backend;
use super::error::{Refusal, RequestError};
use super::layout::checked_layout;
use super::protocol::{
    Command, DeviceInfo, DmaMap, DmaUnmap, FLAG_ERROR, FLAG_NO_REPLY, FLAG_TYPE_MASK, HEADER_BYTES,
    Header, TYPE_COMMAND, TYPE_REPLY,
};
use super::receiver::Message;
use super::{irqs, regions, version};

/// Bytes to send, and the descriptor that goes with the first of them.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// Header and payload.
    pub bytes: Vec<u8>,
    /// Memory of the region that the reply describes.
    pub file: Option<Arc<File>>,
}

impl Reply {
    /// Makes this an empty reply: none is sent.
    pub(super) fn clear(&mut self) {
        self.file = None;
        self.bytes.clear();
    }

    /// Makes this the reply to `request` that reports `errno`, without payload; an empty one when
    /// none is due.
    pub(super) fn fail(&mut self, request: &Header, errno: u32) {
        self.clear();
        if is_reply_due(request) {
            self.bytes.resize(HEADER_BYTES, 0);
            self.complete(request, errno);
        }
    }

    /// Fills the header in, once the payload is there.
    fn complete(&mut self, request: &Header, errno: u32) {
        let header = Header {
            message_id: request.message_id,
            command: request.command,
            message_size: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).into(),
            flags: if errno == 0 {
                TYPE_REPLY.into()
            } else {
                (TYPE_REPLY | FLAG_ERROR).into()
            },
            error: errno.into(),
        };
        if let Some(place) = self.bytes.first_chunk_mut::<HEADER_BYTES>() {
            place.copy_from_slice(header.as_bytes());
        }
    }
}

/// Whether the sender of a message waits for a reply: not when it says so, and not when it replies
/// itself.
fn is_reply_due(header: &Header) -> bool {
    let flags = header.flags.get();
    flags & FLAG_NO_REPLY == 0 && flags & FLAG_TYPE_MASK != TYPE_REPLY
}

/// State of the protocol on one connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    negotiated: bool,
}

impl Session {
    /// Whether client and server have agreed on a version.
    pub(super) fn is_negotiated(&self) -> bool {
        self.negotiated
    }

    /// Handles one message and fills `reply`, which is empty when none is due.
    ///
    /// # Errors
    /// When the request is refused. The reply says so to the client already; the error is for
    /// the log.
    pub(super) fn handle(
        &mut self,
        message: Message<'_>,
        backend: &mut dyn Backend,
        reply: &mut Reply,
    ) -> Result<(), Refusal> {
        let header = message.header;
        let flags = header.flags.get();
        let command = Command::from(header.command.get());
        reply.clear();
        if flags & FLAG_TYPE_MASK == TYPE_REPLY {
            // We send no requests, so it answers nothing.
            return Ok(());
        }
        reply.bytes.resize(HEADER_BYTES, 0);
        let outcome = if flags & FLAG_TYPE_MASK == TYPE_COMMAND {
            self.carry_out(command, message, backend, reply)
        } else {
            Err(RequestError::HeaderFlags(flags))
        };
        let refusal = outcome.as_ref().err().map(|reason| reason as &dyn Display);
        backend.message_handled(command, refusal);
        match &outcome {
            Ok(()) if is_reply_due(&header) => reply.complete(&header, 0),
            Ok(()) => reply.clear(),
            Err(reason) => reply.fail(&header, reason.errno()),
        }
        outcome.map_err(|reason| Refusal { command, reason })
    }

    fn carry_out(
        &mut self,
        command: Command,
        message: Message<'_>,
        backend: &mut dyn Backend,
        reply: &mut Reply,
    ) -> Result<(), RequestError> {
        let payload = message.payload;
        let bytes = &mut reply.bytes;
        if self.negotiated == (command == Command::Version) {
            return Err(if self.negotiated {
                RequestError::AlreadyNegotiated
            } else {
                RequestError::NotNegotiated
            });
        }
        match command {
            Command::Version => {
                version::negotiate(payload, bytes)?;
                self.negotiated = true;
            }
            Command::DmaMap => dma_map(payload)?,
            Command::DmaUnmap => dma_unmap(payload, bytes)?,
            Command::DeviceGetInfo => device_info(payload, backend, bytes)?,
            Command::DeviceGetRegionInfo => {
                reply.file = regions::information(payload, backend, bytes)?;
            }
            Command::DeviceGetIrqInfo => irqs::information(payload, backend, bytes)?,
            Command::DeviceSetIrqs => irqs::set(payload, message.descriptors, backend)?,
            Command::RegionRead => regions::read(payload, backend, bytes)?,
            Command::RegionWrite => regions::write(payload, backend, bytes)?,
            Command::DeviceReset => backend.reset(),
            Command::DeviceGetRegionIoFds
            | Command::DmaRead
            | Command::DmaWrite
            | Command::DirtyPages
            | Command::RegionWriteMulti
            | Command::Unknown(_) => return Err(RequestError::Unsupported),
        }
        Ok(())
    }
}

/// Answers `DEVICE_GET_INFO`: a PCI device that can be reset.
fn device_info(
    payload: &[u8],
    backend: &dyn Backend,
    reply: &mut Vec<u8>,
) -> Result<(), RequestError> {
    checked_layout::<DeviceInfo>(payload, |info| info.argument_bytes)?;
    let info = DeviceInfo {
        argument_bytes: u32::try_from(size_of::<DeviceInfo>())
            .unwrap_or_default()
            .into(),
        flags: (VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET).into(),
        region_count: u32::try_from(backend.regions().len())
            .unwrap_or_default()
            .into(),
        irq_count: VFIO_PCI_NUM_IRQS.into(),
    };
    reply.extend_from_slice(info.as_bytes());
    Ok(())
}

/// Checks `DMA_MAP`. Guest memory is of no use to this device, which only ever writes to its own
/// hotlists: the descriptor is closed with the message, and nothing is kept that a client could
/// make grow.
fn dma_map(payload: &[u8]) -> Result<(), RequestError> {
    let map = checked_layout::<DmaMap>(payload, |map| map.argument_bytes)?;
    let (address, size) = (map.address.get(), map.size.get());
    let last_byte = size
        .checked_sub(1)
        .and_then(|rest| address.checked_add(rest));
    if last_byte.is_none() {
        return Err(RequestError::AddressRange { address, size });
    }
    log::debug!(
        "DMA_MAP {size:#x} bytes at {address:#x}, flags {}",
        map.flags
    );
    Ok(())
}

/// Accepts every `DMA_UNMAP`: a guest that switches IOMMU domains makes QEMU unmap the whole
/// address space in pieces, mapped or not.
fn dma_unmap(payload: &[u8], reply: &mut Vec<u8>) -> Result<(), RequestError> {
    let unmap = checked_layout::<DmaUnmap>(payload, |unmap| unmap.argument_bytes)?;
    log::debug!(
        "DMA_UNMAP {:#x} bytes at {:#x}",
        unmap.size.get(),
        unmap.address.get()
    );
    reply.extend_from_slice(unmap.as_bytes());
    Ok(())
}
