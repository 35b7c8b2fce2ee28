// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device process reached over its vfio-user socket, without any virtual machine in between.
//!
//! This client has no memory for the device to reach, and takes one event per interrupt message.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::mapping::{FileArea, Mapping};
use super::messages::Messages;
use super::reset::{function_level_reset, switch_on};
use super::{BarOffset, MappedWords, Transport, TransportError, WORD_BYTES, Width, check_range};
use crate::refusal::without_sockets;
use chmu_machine::memory::PAGE_BYTES;
use connection::{Connection, Reply, invalid};
use protocol::{
    Command, DEVICE_INFO_BYTES, DEVICE_PCI, INTERRUPT_EVENTS, INTERRUPT_INFO_BYTES, INTERRUPT_MSI,
    INTERRUPT_MSI_X, INTERRUPT_TRIGGER, REGION_ACCESS_BYTES, REGION_CONFIG, REGION_INFO_BYTES,
    RegionInfo, SET_INTERRUPTS_BYTES, VERSION, dword, dwords, region_access,
};

mod connection;
mod protocol;

const BARS: u8 = 6;
/// What this client can do, as the first message says it.
const CAPABILITIES: &str = concat!(
    r#"{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"#,
    r#""max_dma_maps":65535,"pgsizes":4096,"write_multiple":false}}"#,
    "\0"
);
/// Descriptors that one message may carry when the server does not say (protocol text, `VERSION`).
const DEFAULT_MESSAGE_FDS: usize = 1;
/// The longest answer about a region that is asked for.
const REGION_INFO_MAX_BYTES: u32 = 1 << 15;

/// A device process.
#[derive(Debug)]
pub struct SocketTransport {
    name: String,
    path: PathBuf,
    connection: Mutex<Connection>,
    bars: Vec<Region>,
    messages: Messages,
}

/// A region and the file that its mappable areas lie in.
#[derive(Debug, Default)]
struct Region {
    info: RegionInfo,
    file: Option<File>,
}

impl Region {
    /// The file behind an area that can be mapped; memory that the file does not have would end
    /// this process at its first use.
    fn file_of(&self, offset: u64, bytes: u64) -> io::Result<&File> {
        let end = offset.saturating_add(bytes);
        let inside = |area: &Range<u64>| area.start <= offset && end <= area.end;
        if !self.info.areas.iter().any(inside) {
            return Err(invalid("the device offers no mapping there".into()));
        }
        let file = self.file.as_ref();
        let file = file.ok_or_else(|| invalid("the device sent no file to map".into()))?;
        let length = file.metadata()?.len();
        match self.info.file_offset.checked_add(end) {
            Some(end) if end <= length => Ok(file),
            _ => Err(invalid(format!(
                "the device's file has only {length:#x} bytes"
            ))),
        }
    }
}

fn reach(path: &Path) -> Result<UnixStream, TransportError> {
    UnixStream::connect(path).map_err(|source| match without_sockets(&source) {
        Some(refusal) => TransportError::Refused {
            action: format!("connect to the device at {}", path.display()),
            refusal,
            source,
        },
        None => failed(path, "connect to", source),
    })
}

impl SocketTransport {
    /// Connects to the process that listens at `path`, switches on the device's memory and bus
    /// mastering, and connects its MSI-X or MSI messages.
    pub fn connect(path: &Path) -> Result<SocketTransport, TransportError> {
        SocketTransport::over(reach(path)?, path)
    }

    /// Connects to the process that listens at `path` and changes nothing of the device, so that no
    /// interrupt arrives.
    pub fn connect_to_read(path: &Path) -> Result<SocketTransport, TransportError> {
        let (transport, _) = SocketTransport::agree(reach(path)?, path)?;
        Ok(transport)
    }

    /// Takes over a connected socket; `path` names it in messages.
    pub fn over(stream: UnixStream, path: &Path) -> Result<SocketTransport, TransportError> {
        let (mut transport, message_fds) = SocketTransport::agree(stream, path)?;
        switch_on(&transport)?;
        transport.messages = transport.step("connect interrupts of", |transport| {
            transport.connect_messages(message_fds)
        })?;
        Ok(transport)
    }

    /// Agrees on a version and learns of the device's regions; also says how many descriptors a message
    /// may carry.
    fn agree(stream: UnixStream, path: &Path) -> Result<(SocketTransport, usize), TransportError> {
        let connection = Connection::new(stream);
        let mut transport = SocketTransport {
            name: path.display().to_string(),
            path: path.to_owned(),
            connection: Mutex::new(connection.map_err(|error| failed(path, "use", error))?),
            bars: Vec::new(),
            messages: Messages::default(),
        };
        let message_fds = transport.step("agree on a version with", Self::negotiate)?;
        transport.step("identify", Self::check_device)?;
        for bar in 0..BARS {
            let region = transport.step("ask for the regions of", |transport| {
                transport.region(bar.into())
            })?;
            transport.bars.push(region);
        }
        Ok((transport, message_fds))
    }

    fn step<T>(
        &self,
        action: &'static str,
        step: impl FnOnce(&SocketTransport) -> io::Result<T>,
    ) -> Result<T, TransportError> {
        step(self).map_err(|source| failed(&self.path, action, source))
    }

    fn call(&self, command: Command, payload: &[u8], fds: &[RawFd]) -> io::Result<Reply> {
        let connection = self.connection.lock();
        connection
            .unwrap_or_else(PoisonError::into_inner)
            .call(command, payload, fds)
    }

    /// Agrees on the version; returns how many descriptors a message may carry.
    fn negotiate(&self) -> io::Result<usize> {
        let (major, minor) = VERSION;
        let mut payload = dwords(&[u32::from(minor) << 16 | u32::from(major)]);
        payload.extend_from_slice(CAPABILITIES.as_bytes());
        let reply = self.call(Command::Version, &payload, &[])?.payload;
        let version = dword(&reply, 0).ok_or_else(too_short)?;
        if version != 0 {
            let (major, minor) = (version & 0xffff, version >> 16);
            return Err(invalid(format!("it speaks version {major}.{minor}")));
        }
        let text = reply.get(4..).unwrap_or_default();
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        if text.is_empty() {
            return Ok(DEFAULT_MESSAGE_FDS);
        }
        let data: serde_json::Value = serde_json::from_slice(text)?;
        let fds = data["capabilities"]["max_msg_fds"].as_u64();
        let fds = fds.and_then(|fds| usize::try_from(fds).ok());
        Ok(fds.unwrap_or(DEFAULT_MESSAGE_FDS).max(1))
    }

    fn check_device(&self) -> io::Result<()> {
        let request = dwords(&[DEVICE_INFO_BYTES, 0, 0, 0]);
        let reply = self.call(Command::DeviceInfo, &request, &[])?.payload;
        let flags = dword(&reply, 4).ok_or_else(too_short)?;
        let regions = dword(&reply, 8).ok_or_else(too_short)?;
        if flags & DEVICE_PCI == 0 {
            return Err(invalid("it is no PCI function".into()));
        }
        if regions <= REGION_CONFIG {
            return Err(invalid(format!(
                "it has {regions} regions, so no configuration space"
            )));
        }
        Ok(())
    }

    fn region(&self, index: u32) -> io::Result<Region> {
        let mut bytes = REGION_INFO_BYTES;
        loop {
            let request = dwords(&[bytes, 0, index, 0, 0, 0, 0, 0]);
            let reply = self.call(Command::RegionInfo, &request, &[])?;
            let info = RegionInfo::decode(&reply.payload)
                .ok_or_else(|| invalid(format!("region {index} contradicts itself")))?;
            let needed = info.needed_bytes;
            if needed <= bytes {
                let file = reply.file;
                return Ok(Region { info, file });
            }
            if needed > REGION_INFO_MAX_BYTES {
                return Err(invalid(format!(
                    "region {index} needs {needed} bytes of answer"
                )));
            }
            bytes = needed;
        }
    }

    fn connect_messages(&self, message_fds: usize) -> io::Result<Messages> {
        for index in [INTERRUPT_MSI_X, INTERRUPT_MSI] {
            let request = dwords(&[INTERRUPT_INFO_BYTES, 0, index, 0]);
            // A type of interrupt that the server does not know has no message.
            let Ok(reply) = self.call(Command::InterruptInfo, &request, &[]) else {
                continue;
            };
            let messages = Messages::new(dword(&reply.payload, 12).ok_or_else(too_short)?)?;
            let mut start = 0_u32;
            for events in messages.events().chunks(message_fds) {
                let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
                let flags = INTERRUPT_EVENTS | INTERRUPT_TRIGGER;
                let request = dwords(&[SET_INTERRUPTS_BYTES, flags, index, start, count]);
                let fds: Vec<_> = events.iter().map(AsRawFd::as_raw_fd).collect();
                self.call(Command::SetInterrupts, &request, &fds)?;
                start += count;
            }
            if start > 0 {
                return Ok(messages);
            }
        }
        Ok(Messages::default())
    }

    fn read_region(&self, region: u32, offset: u64, width: Width) -> io::Result<u64> {
        let count = width.bytes();
        let request = region_access(region, offset, u32::try_from(count).unwrap_or(u32::MAX));
        let reply = self.call(Command::RegionRead, &request, &[])?.payload;
        let data = reply.get(REGION_ACCESS_BYTES..).unwrap_or_default();
        if data.len() != count {
            let length = data.len();
            return Err(invalid(format!("{length} bytes came instead of {count}")));
        }
        let mut bytes = [0; 8];
        bytes[..count].copy_from_slice(data);
        Ok(u64::from_le_bytes(bytes))
    }

    fn write_region(&self, region: u32, offset: u64, width: Width, value: u64) -> io::Result<()> {
        let count = width.bytes();
        let mut request = region_access(region, offset, u32::try_from(count).unwrap_or(u32::MAX));
        request.extend_from_slice(&value.to_le_bytes()[..count]);
        let reply = self.call(Command::RegionWrite, &request, &[])?.payload;
        match dword(&reply, 12).and_then(|written| usize::try_from(written).ok()) {
            Some(written) if written == count => Ok(()),
            _ => Err(invalid(format!("not all of {count} bytes were written"))),
        }
    }

    fn mapping(&self, place: BarOffset, bytes: u64) -> Result<Mapping, TransportError> {
        let region = self.bar(place.bar)?;
        check_range(place, bytes, region.info.bytes)?;
        let file = region.file_of(place.offset, bytes);
        let file = file.map_err(|source| TransportError::Access {
            action: "map",
            place: place.to_string(),
            bytes,
            source,
        })?;
        let area = FileArea {
            file: file.as_fd(),
            offset: region.info.file_offset.saturating_add(place.offset),
            bytes,
            writable: false,
        };
        Mapping::new(area, place)
    }

    fn bar(&self, bar: u8) -> Result<&Region, TransportError> {
        let region = self.bars.get(usize::from(bar));
        region
            .filter(|region| region.info.bytes > 0)
            .ok_or_else(|| TransportError::NoBar {
                device: self.name.clone(),
                bar,
            })
    }
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> TransportError {
    TransportError::Socket {
        path: path.to_owned(),
        action,
        source,
    }
}

fn too_short() -> io::Error {
    invalid("a reply is too short".into())
}

/// A failed access to a place.
fn refused(
    action: &'static str,
    place: impl ToString,
    bytes: usize,
    source: io::Error,
) -> TransportError {
    TransportError::Access {
        action,
        place: place.to_string(),
        bytes: bytes as u64,
        source,
    }
}

impl Transport for SocketTransport {
    fn device(&self) -> &str {
        &self.name
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        let value = self.read_region(REGION_CONFIG, offset.into(), width);
        let place = || format!("configuration offset {offset:#x}");
        let value = value.map_err(|error| refused("read", place(), width.bytes(), error))?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }

    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), TransportError> {
        let place = || format!("configuration offset {offset:#x}");
        self.write_region(REGION_CONFIG, offset.into(), width, value.into())
            .map_err(|error| refused("write", place(), width.bytes(), error))
    }

    fn bar_bytes(&self, bar: u8) -> Result<u64, TransportError> {
        self.bar(bar).map(|region| region.info.bytes)
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        check_range(place, width.bytes() as u64, self.bar_bytes(place.bar)?)?;
        self.read_region(place.bar.into(), place.offset, width)
            .map_err(|error| refused("read", place, width.bytes(), error))
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        check_range(place, width.bytes() as u64, self.bar_bytes(place.bar)?)?;
        self.write_region(place.bar.into(), place.offset, width, value)
            .map_err(|error| refused("write", place, width.bytes(), error))
    }

    /// From the pages around the words where the device has them mapped, as drivers do; else a message for
    /// each. One message for many would leave it to the server how it accesses them.
    fn read_words(&self, place: BarOffset, words: &mut [u64]) -> Result<(), TransportError> {
        let before = place.offset % PAGE_BYTES;
        let pages = BarOffset {
            offset: place.offset - before,
            ..place
        };
        let bytes = before.saturating_add(words.len() as u64 * WORD_BYTES);
        let mapping = bytes
            .checked_next_multiple_of(PAGE_BYTES)
            .and_then(|bytes| self.mapping(pages, bytes).ok());
        for (index, word) in (0_u64..).zip(words) {
            let offset = index * WORD_BYTES;
            *word = match &mapping {
                Some(mapping) => mapping.read(before + offset, Width::Eight)?,
                None => self.read(place.plus(offset), Width::Eight)?,
            };
        }
        Ok(())
    }

    fn map(&self, place: BarOffset, bytes: u64) -> Result<Box<dyn MappedWords>, TransportError> {
        Ok(Box::new(self.mapping(place, bytes)?))
    }

    fn interrupt_messages(&self) -> u16 {
        self.messages.count()
    }

    fn wait_for_interrupt(
        &self,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        self.messages.wait(&self.name, message, timeout)
    }

    fn interrupt_event(&self, message: u16) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.messages.descriptor(message)
    }

    fn reset(&self) -> Result<bool, TransportError> {
        let found = function_level_reset(self)?;
        switch_on(self)?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
