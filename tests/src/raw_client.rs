// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A vfio-user client that speaks bytes, so that a test can say what no sane client would.
//!
//! Message layouts are transcribed by hand from the protocol text (QEMU's
//! `docs/interop/vfio-user.rst`), independent of the crate the device uses.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

/// How long the device may take for one answer before the test fails.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a message header.
pub const HEADER_BYTES: usize = 16;

/// Command numbers of the protocol.
pub mod command {
    #![allow(missing_docs, reason = "the names are the protocol's own")]
    pub const VERSION: u16 = 1;
    pub const DMA_MAP: u16 = 2;
    pub const DMA_UNMAP: u16 = 3;
    pub const DEVICE_GET_INFO: u16 = 4;
    pub const DEVICE_GET_REGION_INFO: u16 = 5;
    pub const DEVICE_GET_REGION_IO_FDS: u16 = 6;
    pub const DEVICE_GET_IRQ_INFO: u16 = 7;
    pub const DEVICE_SET_IRQS: u16 = 8;
    pub const REGION_READ: u16 = 9;
    pub const REGION_WRITE: u16 = 10;
    pub const DEVICE_RESET: u16 = 13;
    pub const DIRTY_PAGES: u16 = 14;
    pub const REGION_WRITE_MULTI: u16 = 15;
}

/// Header flag: this is a reply.
pub const FLAG_REPLY: u32 = 1;
/// Header flag: the sender wants no reply.
pub const FLAG_NO_REPLY: u32 = 1 << 4;
/// Header flag: the reply carries an errno.
pub const FLAG_ERROR: u32 = 1 << 5;

/// One reply of the device.
#[derive(Debug)]
pub struct Reply {
    /// Identifier of the request it answers.
    pub id: u16,
    /// Command it answers.
    pub command: u16,
    /// Header flags.
    pub flags: u32,
    /// errno; meaningful when [`FLAG_ERROR`] is set.
    pub errno: u32,
    /// What follows the header.
    pub payload: Vec<u8>,
    /// File descriptors that came with it.
    pub files: Vec<File>,
}

impl Reply {
    /// The payload of a successful reply.
    ///
    /// # Errors
    /// When the device answered with an error.
    pub fn success(self) -> Result<Self> {
        if self.flags & FLAG_ERROR != 0 {
            bail!("command {} failed with errno {}", self.command, self.errno);
        }
        Ok(self)
    }

    /// The errno of a failed request.
    ///
    /// # Errors
    /// When the device answered with success.
    pub fn failure(&self) -> Result<u32> {
        ensure!(
            self.flags & FLAG_ERROR != 0,
            "command {} succeeded",
            self.command
        );
        Ok(self.errno)
    }

    /// A little-endian 32-bit field of the payload.
    pub fn u32_at(&self, offset: usize) -> u32 {
        u32::from_le_bytes(
            self.payload[offset..offset + 4]
                .try_into()
                .expect("four bytes"),
        )
    }

    /// A little-endian 64-bit field of the payload.
    pub fn u64_at(&self, offset: usize) -> u64 {
        u64::from_le_bytes(
            self.payload[offset..offset + 8]
                .try_into()
                .expect("eight bytes"),
        )
    }
}

/// A connection to the device.
#[derive(Debug)]
pub struct RawClient {
    stream: UnixStream,
    next_id: u16,
}

impl RawClient {
    /// Takes over a connected socket.
    ///
    /// # Errors
    /// When the reply timeout cannot be set.
    pub fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Self { stream, next_id: 1 })
    }

    /// The socket, for tests that shut it down or stall it.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the device closed the connection.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream
            .write_all(bytes)
            .context("The device does not take bytes")
    }

    /// Sends one message and returns its identifier.
    ///
    /// # Errors
    /// When the device closed the connection.
    pub fn send(&mut self, command: u16, flags: u32, payload: &[u8]) -> Result<u16> {
        self.send_with_files(command, flags, payload, &[])
    }

    /// Sends one message with file descriptors.
    ///
    /// # Errors
    /// When the device closed the connection.
    pub fn send_with_files(
        &mut self,
        command: u16,
        flags: u32,
        payload: &[u8],
        files: &[&File],
    ) -> Result<u16> {
        use std::os::fd::AsRawFd;
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let bytes = message(id, command, flags, payload);
        let fds: Vec<_> = files.iter().map(|file| file.as_raw_fd()).collect();
        if fds.is_empty() {
            self.send_bytes(&bytes)?;
        } else {
            let sent = self.stream.send_with_fds(&[&bytes[..]], &fds)?;
            ensure!(sent == bytes.len(), "the socket took only {sent} bytes");
        }
        Ok(id)
    }

    /// Receives one reply.
    ///
    /// # Errors
    /// When the connection ends, times out, or the header is not one of a reply.
    pub fn receive(&mut self) -> Result<Reply> {
        let mut header = [0u8; HEADER_BYTES];
        let mut file = None;
        let mut filled = 0;
        while filled < HEADER_BYTES {
            let (count, received) = self.stream.recv_with_fd(&mut header[filled..])?;
            ensure!(count > 0, "the device closed the connection");
            file = file.or(received);
            filled += count;
        }
        let field =
            |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let size = field(4) as usize;
        ensure!(
            size >= HEADER_BYTES,
            "a reply of {size} bytes has no header"
        );
        let mut payload = vec![0u8; size - HEADER_BYTES];
        self.stream.read_exact(&mut payload)?;
        let reply = Reply {
            id: u16::from_le_bytes([header[0], header[1]]),
            command: u16::from_le_bytes([header[2], header[3]]),
            flags: field(8),
            errno: field(12),
            payload,
            files: file.into_iter().collect(),
        };
        ensure!(
            reply.flags & 0xf == FLAG_REPLY,
            "flags {:#x} are not a reply's",
            reply.flags
        );
        Ok(reply)
    }

    /// Sends one request and receives its reply; both must carry the same identifier and command.
    ///
    /// # Errors
    /// When the connection fails or the reply answers something else.
    pub fn call(&mut self, command: u16, payload: &[u8]) -> Result<Reply> {
        self.call_with_files(command, payload, &[])
    }

    /// As [`RawClient::call`], with file descriptors.
    ///
    /// # Errors
    /// When the connection fails or the reply answers something else.
    pub fn call_with_files(
        &mut self,
        command: u16,
        payload: &[u8],
        files: &[&File],
    ) -> Result<Reply> {
        let id = self.send_with_files(command, 0, payload, files)?;
        let reply = self.receive()?;
        ensure!(reply.id == id, "reply {} answers request {id}", reply.id);
        ensure!(
            reply.command == command,
            "a reply to {} answers {command}",
            reply.command
        );
        Ok(reply)
    }

    /// Negotiates as QEMU 11.1 does.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn negotiate(&mut self) -> Result<Reply> {
        self.call(command::VERSION, &version_payload(0, 0, QEMU_CAPABILITIES))?
            .success()
    }

    /// Reads from a region.
    ///
    /// # Errors
    /// When the device refuses or answers with another length.
    pub fn read_region(&mut self, region: u32, offset: u64, count: u32) -> Result<Vec<u8>> {
        let reply = self
            .call(
                command::REGION_READ,
                &region_access(region, offset, count, &[]),
            )?
            .success()?;
        ensure!(
            reply.payload.len() == 16 + count as usize,
            "{} bytes came back",
            reply.payload.len()
        );
        Ok(reply.payload[16..].to_vec())
    }

    /// Writes to a region.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn write_region(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<()> {
        let count = u32::try_from(data.len())?;
        self.call(
            command::REGION_WRITE,
            &region_access(region, offset, count, data),
        )?
        .success()?;
        Ok(())
    }
}

/// What QEMU 11.1 says of itself.
pub const QEMU_CAPABILITIES: &[u8] = b"{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \
\"max_dma_maps\": 65535, \"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": 268435456, \
\"pgsize\": 4096}, \"write_multiple\": true}}\0";

/// A new eventfd that never blocks.
///
/// # Errors
/// When the kernel refuses it.
pub fn event_file() -> Result<File> {
    let event = EventFd::new(libc::EFD_NONBLOCK)?;
    // SAFETY: the descriptor was just made and is given up by its first owner.
    let owned = unsafe { OwnedFd::from_raw_fd(event.into_raw_fd()) };
    Ok(File::from(owned))
}

/// The bytes of one message.
pub fn message(id: u16, command: u16, flags: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(HEADER_BYTES + payload.len()).expect("test messages are small");
    raw_message(id, command, size, flags, payload)
}

/// The bytes of one message whose header states a size of the caller's choice.
pub fn raw_message(id: u16, command: u16, size: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend(id.to_le_bytes());
    bytes.extend(command.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// Payload of `VERSION`: major, minor, version data as given.
pub fn version_payload(major: u16, minor: u16, data: &[u8]) -> Vec<u8> {
    [&major.to_le_bytes()[..], &minor.to_le_bytes(), data].concat()
}

/// Payload of `REGION_READ` and `REGION_WRITE`.
pub fn region_access(region: u32, offset: u64, count: u32, data: &[u8]) -> Vec<u8> {
    [
        &offset.to_le_bytes()[..],
        &region.to_le_bytes(),
        &count.to_le_bytes(),
        data,
    ]
    .concat()
}

/// Little-endian 32-bit words one after the other: the payload of most other messages.
pub fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Payload of `DMA_MAP`.
pub fn dma_map(flags: u32, offset: u64, address: u64, size: u64) -> Vec<u8> {
    let mut bytes = words(&[32, flags]);
    for value in [offset, address, size] {
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

/// Payload of `DMA_UNMAP`.
pub fn dma_unmap(flags: u32, address: u64, size: u64) -> Vec<u8> {
    let mut bytes = words(&[24, flags]);
    for value in [address, size] {
        bytes.extend(value.to_le_bytes());
    }
    bytes
}
