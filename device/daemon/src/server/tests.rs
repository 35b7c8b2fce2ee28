// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The server against a raw client in the same thread.

mod clients;
mod descriptors;
mod hostile;
mod interrupts;
mod requests;
mod stream;

use std::fmt::Display;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use event_manager::{EventManager, EventSubscriber, SubscriberOps};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::protocol::{FLAG_ERROR, FLAG_NO_REPLY, HEADER_BYTES, MAX_DATA_BYTES};
use super::*;

const VERSION: u16 = 1;
const GET_REGION_INFO: u16 = 5;
const GET_IRQ_INFO: u16 = 7;
const SET_IRQS: u16 = 8;
const READ: u16 = 9;
const WRITE: u16 = 10;
const RESET: u16 = 13;

const EINVAL: u32 = libc::EINVAL.unsigned_abs();
const ENOTSUP: u32 = libc::ENOTSUP.unsigned_abs();

/// Region 4 is a page of memory that reads back; every other one is empty.
#[derive(Debug)]
struct Memory {
    regions: Vec<Region>,
    bytes: Vec<u8>,
    events: Vec<Option<EventFd>>,
    resets: u32,
    interrupts: Interrupts,
    clients_arrived: u32,
    clients_left: u32,
    handled: Vec<(Command, bool)>,
}

impl Memory {
    fn new() -> Self {
        let mut regions = vec![Region::default(); 9];
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * u64::from(MAX_DATA_BYTES)).unwrap();
        regions[4] = Region {
            size_bytes: 2 * u64::from(MAX_DATA_BYTES),
            mappable_areas: vec![0x1000..0x3000, 0x8000..0x9000],
            file: Some(file.into()),
        };
        Self {
            regions,
            bytes: vec![0; 2 * MAX_DATA_BYTES as usize],
            events: std::iter::repeat_with(|| None).take(4).collect(),
            resets: 0,
            interrupts: Interrupts { msi: 0, msi_x: 4 },
            clients_arrived: 0,
            clients_left: 0,
            handled: Vec::new(),
        }
    }
}

impl Backend for Memory {
    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn interrupts(&self) -> Interrupts {
        self.interrupts
    }

    fn read(&mut self, _: u32, offset: u64, data: &mut [u8]) -> Result<(), AccessRefused> {
        let start = usize::try_from(offset).unwrap();
        data.copy_from_slice(&self.bytes[start..start + data.len()]);
        Ok(())
    }

    fn write(&mut self, _: u32, offset: u64, data: &[u8]) -> Result<(), AccessRefused> {
        if offset == 0x666 {
            return Err(AccessRefused);
        }
        let start = usize::try_from(offset).unwrap();
        self.bytes[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn reset(&mut self) {
        self.resets += 1;
    }

    fn connect_vector(&mut self, vector: u16, event: Option<EventFd>) {
        self.events[usize::from(vector)] = event;
    }

    fn trigger_vector(&mut self, vector: u16) {
        if let Some(event) = &self.events[usize::from(vector)] {
            event.write(1).unwrap();
        }
    }

    fn message_handled(&mut self, command: Command, refusal: Option<&dyn Display>) {
        self.handled.push((command, refusal.is_some()));
    }

    fn client_arrived(&mut self, _: &dyn Display) {
        self.clients_arrived += 1;
    }

    fn client_left(&mut self) {
        self.clients_left += 1;
        self.events.fill_with(|| None);
    }
}

/// One connection, both ends in this thread.
struct Peers {
    client: UnixStream,
    connection: Connection,
    backend: Memory,
    complaints: RateLimit,
}

#[derive(Debug, PartialEq)]
struct Answer {
    id: u16,
    command: u16,
    error: bool,
    errno: u32,
    payload: Vec<u8>,
}

impl Peers {
    fn connected() -> Self {
        let (client, server) = UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        server.set_nonblocking(true).unwrap();
        Self {
            client,
            connection: Connection::new(Caller::new(server)),
            backend: Memory::new(),
            complaints: RateLimit::default(),
        }
    }

    fn negotiated() -> Self {
        let mut peers = Self::connected();
        let answer = peers.call(VERSION, &[0; 4]).unwrap();
        assert_eq!((answer.errno, answer.payload), (0, vec![0; 4]));
        peers
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).unwrap();
    }

    fn turn(&mut self) -> Waiting {
        self.connection
            .turn(&mut self.backend, &mut self.complaints)
    }

    fn answer(&mut self) -> Option<Answer> {
        let mut header = [0; HEADER_BYTES];
        self.client.read_exact(&mut header).ok()?;
        let field = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let mut payload = vec![0; field(4) as usize - HEADER_BYTES];
        self.client.read_exact(&mut payload).unwrap();
        assert_eq!(field(8) & 0xf, 1, "it is a reply");
        Some(Answer {
            id: u16::from_le_bytes([header[0], header[1]]),
            command: u16::from_le_bytes([header[2], header[3]]),
            error: field(8) & FLAG_ERROR != 0,
            errno: field(12),
            payload,
        })
    }

    fn call(&mut self, command: u16, payload: &[u8]) -> Option<Answer> {
        self.send(&message(command, 0, payload));
        self.turn();
        self.answer()
    }

    fn errno(&mut self, command: u16, payload: &[u8]) -> u32 {
        let answer = self.call(command, payload).unwrap();
        assert_eq!(answer.error, answer.errno != 0);
        assert!(answer.errno == 0 || answer.payload.is_empty());
        answer.errno
    }

    fn assert_in_step(&mut self) {
        let resets = self.backend.resets;
        assert_eq!(self.errno(RESET, &[]), 0);
        assert_eq!(self.backend.resets, resets + 1);
    }
}

fn message(command: u16, flags: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(HEADER_BYTES + payload.len()).unwrap();
    sized_message(command, flags, size, payload)
}

fn sized_message(command: u16, flags: u32, size: u32, payload: &[u8]) -> Vec<u8> {
    [
        &7u16.to_le_bytes()[..],
        &command.to_le_bytes(),
        &size.to_le_bytes(),
        &flags.to_le_bytes(),
        &[0; 4],
        payload,
    ]
    .concat()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn access(region: u32, offset: u64, count: u32, data: &[u8]) -> Vec<u8> {
    [&offset.to_le_bytes()[..], &words(&[region, count]), data].concat()
}
