// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Gives each connection the device's statistics as one JSON object and ends it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use crate::device::Device;
use crate::peers::{Peers, Turn};

/// The statistics socket.
#[derive(Debug)]
pub(crate) struct StatisticsSocket {
    peers: Peers<Reader>,
    device: Rc<RefCell<Device>>,
}

/// A connection that has not taken everything yet.
#[derive(Debug)]
struct Reader {
    stream: UnixStream,
    text: Vec<u8>,
    sent: usize,
}

impl StatisticsSocket {
    /// Serves readers that connect to `listener`.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking.
    pub(crate) fn new(listener: UnixListener, device: Rc<RefCell<Device>>) -> io::Result<Self> {
        let peers = Peers::new(listener, "A reader of statistics")?;
        Ok(Self { peers, device })
    }

    fn text(&self) -> Vec<u8> {
        let statistics = self.device.borrow_mut().statistics();
        let mut text = serde_json::to_vec_pretty(&statistics).unwrap_or_else(|error| {
            log::error!("The statistics cannot be written as JSON: {error}");
            Vec::new()
        });
        text.push(b'\n');
        text
    }
}

impl Reader {
    /// Sends what the socket takes. A reader that is gone has had enough.
    fn turn(&mut self) -> Turn {
        while let Some(rest @ [_, ..]) = self.text.get(self.sent..) {
            match self.stream.write(rest) {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Turn::Waits,
                Err(_) => return Turn::Ends,
            }
        }
        Turn::Ends
    }
}

impl AsRawFd for Reader {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl MutEventSubscriber for StatisticsSocket {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        if !self.peers.is_listener(events.fd()) {
            let descriptor = events.fd();
            self.peers
                .serve(descriptor, ops, |reader| Ok(reader.turn()));
        } else if let Some(stream) = self.peers.accept(ops) {
            let text = self.text();
            let mut reader = Reader {
                stream,
                text,
                sent: 0,
            };
            if reader.turn() == Turn::Waits {
                self.peers.add(reader, EventSet::OUT, ops);
            }
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        self.peers.start(ops);
    }
}
