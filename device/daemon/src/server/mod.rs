// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A vfio-user server, protocol version 0.0, for one client at a time.
//!
//! It answers every malformed message, stays in step with the stream, and outlives its clients:
//! the device behind [`Backend`] keeps its state from one to the next. Sockets never block and a
//! client that stalls holds up nothing but itself.

mod backend;
mod connection;
mod error;
mod irqs;
mod protocol;
mod receiver;
mod regions;
mod session;
mod version;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

pub(crate) use backend::{AccessRefused, Backend, Region};
pub(crate) use protocol::Command;

use crate::events::{unwatch, watch};
use crate::rate_limit::RateLimit;
use connection::{Connection, Waiting};

/// Serves clients one after the other, driven by an event manager.
#[derive(Debug)]
pub(crate) struct Server<B> {
    backend: Rc<RefCell<B>>,
    listener: Option<UnixListener>,
    listener_watched: bool,
    connection: Option<Connection>,
    waiting: Waiting,
    single_client: bool,
    has_served: bool,
    complaints: RateLimit,
}

impl<B: Backend> Server<B> {
    /// A server that accepts one client after the other, or only the first one.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking.
    pub(crate) fn listening(
        listener: UnixListener,
        single_client: bool,
        backend: Rc<RefCell<B>>,
    ) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            backend,
            listener: Some(listener),
            listener_watched: false,
            connection: None,
            waiting: Waiting::Ended,
            single_client,
            has_served: false,
            complaints: RateLimit::default(),
        })
    }

    /// A server of the one client at the other end of `socket`.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking.
    pub(crate) fn connected(socket: UnixStream, backend: Rc<RefCell<B>>) -> std::io::Result<Self> {
        let connection = Connection::new(socket)?;
        backend.borrow_mut().client_arrived();
        Ok(Self {
            backend,
            listener: None,
            listener_watched: false,
            connection: Some(connection),
            waiting: Waiting::Readable,
            single_client: true,
            has_served: true,
            complaints: RateLimit::default(),
        })
    }

    /// Whether the last client that was to be served is gone.
    pub(crate) fn is_finished(&self) -> bool {
        self.single_client && self.has_served && self.connection.is_none()
    }

    fn accept(&mut self, ops: &mut EventOps) {
        let Some(listener) = &self.listener else {
            return;
        };
        if self.connection.is_some() {
            // It stays in the listen queue; accepting it only to refuse it would race with a
            // client that reconnects.
            log::info!("Another client waits until the connected one leaves");
            self.watch_listener(false, ops);
            return;
        }
        let accepted = listener
            .accept()
            .and_then(|(socket, _)| Connection::new(socket));
        match accepted {
            Ok(connection) => {
                log::info!("A client is connected");
                self.has_served = true;
                self.backend.borrow_mut().client_arrived();
                watch(ops, connection.as_raw_fd(), EventSet::IN);
                self.connection = Some(connection);
                self.waiting = Waiting::Readable;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => {
                if let Some(suppressed) = self.complaints.permit() {
                    log::warn!("A client cannot be accepted: {error}{suppressed}");
                }
            }
        }
    }

    fn serve(&mut self, ops: &mut EventOps) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let waiting = connection.turn(&mut *self.backend.borrow_mut(), &mut self.complaints);
        if waiting == self.waiting {
            return;
        }
        self.waiting = waiting;
        let interest = match waiting {
            Waiting::Readable => EventSet::IN,
            Waiting::Writable => EventSet::OUT,
            Waiting::Ended => return self.end_connection(ops),
        };
        if let Err(error) = ops.modify(Events::new(connection, interest)) {
            log::error!("The client cannot be watched: {error}");
        }
    }

    fn end_connection(&mut self, ops: &mut EventOps) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        unwatch(ops, connection.as_raw_fd());
        log::info!("The client is gone");
        self.backend.borrow_mut().client_left();
        self.watch_listener(!self.single_client, ops);
    }

    fn watch_listener(&mut self, wanted: bool, ops: &mut EventOps) {
        let Some(listener) = &self.listener else {
            return;
        };
        if wanted == self.listener_watched {
            return;
        }
        self.listener_watched = wanted;
        if wanted {
            watch(ops, listener.as_raw_fd(), EventSet::IN);
        } else {
            unwatch(ops, listener.as_raw_fd());
        }
    }
}

impl<B: Backend> MutEventSubscriber for Server<B> {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        let listener = self.listener.as_ref().map(AsRawFd::as_raw_fd);
        if Some(events.fd()) == listener {
            self.accept(ops);
        } else {
            self.serve(ops);
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        self.watch_listener(true, ops);
        if let Some(connection) = &self.connection {
            watch(ops, connection.as_raw_fd(), EventSet::IN);
        }
    }
}
