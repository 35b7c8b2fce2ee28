// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Gives each connection the device's statistics as one JSON object and ends it.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

use event_manager::{EventOps, Events, MutEventSubscriber};

use crate::device::Device;
use crate::outgoing::Outgoing;
use crate::peers::{Peers, Turn};

#[derive(Debug)]
pub(crate) struct StatisticsSocket {
    peers: Peers<Reader>,
    device: Rc<RefCell<Device>>,
}

/// A connection that has not taken everything yet.
#[derive(Debug)]
struct Reader {
    stream: UnixStream,
    text: Outgoing,
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
    /// Sends what the socket takes; there is nothing to do for a reader with all of it.
    fn turn(&mut self) -> io::Result<Turn> {
        let turn = self.text.send(&self.stream)?;
        Ok(if turn == Turn::Reads {
            Turn::Ends
        } else {
            turn
        })
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
            self.peers.serve(events.fd(), ops, Reader::turn);
        } else if let Some(stream) = self.peers.accept(ops) {
            let mut text = Outgoing::default();
            text.push(&self.text());
            let mut reader = Reader { stream, text };
            if let Ok(turn) = reader.turn() {
                self.peers.add(reader, turn, ops);
            }
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        self.peers.start(ops);
    }
}
