// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Lets producers of accesses attach, one at a time, and listens to them.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use crate::device::Device;
use crate::events::{unwatch, watch};
use crate::listener::Listener;
use crate::logging::chain;
use crate::rate_limit::RateLimit;

/// The access socket.
#[derive(Debug)]
pub(crate) struct AccessSocket {
    listener: Listener,
    /// Socket of the attached producer, while its events are delivered.
    producer: Option<RawFd>,
    device: Rc<RefCell<Device>>,
    complaints: RateLimit,
}

impl AccessSocket {
    /// Attaches producers that connect to `listener` to the feed of `device`.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking.
    pub(crate) fn new(listener: UnixListener, device: Rc<RefCell<Device>>) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::new(listener, "A producer of accesses")?,
            producer: None,
            device,
            complaints: RateLimit::default(),
        })
    }

    fn accept(&mut self, ops: &mut EventOps) {
        let Some(stream) = self.listener.accept(ops) else {
            return;
        };
        // One that left just now makes room for the one that comes.
        self.check_producer(ops);
        match self.attach(stream) {
            Ok(producer) => {
                log::info!("A producer of accesses is attached");
                self.producer = producer;
                if let Some(producer) = producer {
                    watch(ops, producer, EventSet::IN);
                }
            }
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &dyn Error) {
        if let Some(suppressed) = self.complaints.permit() {
            log::warn!("A producer is refused: {}{suppressed}", chain(error));
        }
    }

    /// Hands the rings over, and gives the socket to watch. Nothing is handed over while a socket
    /// is watched: the feed might find it closed and close it under the event loop.
    fn attach(&self, stream: UnixStream) -> Result<Option<RawFd>, chmu_ring::Error> {
        if self.producer.is_some() {
            return Err(chmu_ring::Error::ProducerAttached);
        }
        let mut device = self.device.borrow_mut();
        let Some(feed) = device.feed() else {
            return Ok(None);
        };
        feed.hand_over(stream)?;
        Ok(feed.producer_socket())
    }

    /// Takes what the producer reported, and lets it go if it is gone.
    fn check_producer(&mut self, ops: &mut EventOps) {
        let Some(producer) = self.producer else {
            return;
        };
        let mut device = self.device.borrow_mut();
        if let Some(feed) = device.feed()
            && !feed.hear()
        {
            unwatch(ops, producer);
            self.producer = None;
            feed.detach();
            log::info!("The producer of accesses is gone");
        }
        device.catch_up();
    }
}

impl MutEventSubscriber for AccessSocket {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        let descriptor = events.fd();
        if self.listener.owns(descriptor) {
            self.accept(ops);
        } else if Some(descriptor) == self.producer {
            self.check_producer(ops);
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        self.listener.start(ops);
    }
}
