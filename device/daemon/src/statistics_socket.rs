// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Gives each connection the device's statistics as one JSON object and ends it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use crate::device::Device;
use crate::events::{unwatch, watch};

/// Readers at a time; while there are as many, others wait in the listen queue.
const MAX_READERS: usize = 8;

/// The statistics socket.
#[derive(Debug)]
pub struct StatisticsSocket {
    listener: UnixListener,
    readers: Vec<Reader>,
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
    pub fn new(listener: UnixListener, device: Rc<RefCell<Device>>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            readers: Vec::new(),
            device,
        })
    }

    fn accept(&mut self, ops: &mut EventOps) {
        match self.accept_reader() {
            Ok(mut reader) => {
                if reader.is_served() {
                    return;
                }
                watch(ops, reader.stream.as_raw_fd(), EventSet::OUT);
                self.readers.push(reader);
                if self.readers.len() == MAX_READERS {
                    unwatch(ops, self.listener.as_raw_fd());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => log::warn!("A reader of statistics cannot be served: {error}"),
        }
    }

    fn accept_reader(&self) -> io::Result<Reader> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        let mut text = serde_json::to_vec_pretty(&self.device.borrow_mut().statistics())?;
        text.push(b'\n');
        Ok(Reader {
            stream,
            text,
            sent: 0,
        })
    }

    fn serve(&mut self, descriptor: RawFd, ops: &mut EventOps) {
        let is_meant = |reader: &Reader| reader.stream.as_raw_fd() == descriptor;
        let Some(index) = self.readers.iter().position(is_meant) else {
            return;
        };
        if self.readers.get_mut(index).is_some_and(Reader::is_served) {
            unwatch(ops, descriptor);
            if self.readers.len() == MAX_READERS {
                watch(ops, self.listener.as_raw_fd(), EventSet::IN);
            }
            self.readers.swap_remove(index);
        }
    }
}

impl Reader {
    /// Sends what the socket takes; returns whether there is nothing more to do for this reader.
    fn is_served(&mut self) -> bool {
        while let Some(rest @ [_, ..]) = self.text.get(self.sent..) {
            match self.stream.write(rest) {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

impl MutEventSubscriber for StatisticsSocket {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        if events.fd() == self.listener.as_raw_fd() {
            self.accept(ops);
        } else {
            self.serve(events.fd(), ops);
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        watch(ops, self.listener.as_raw_fd(), EventSet::IN);
    }
}
