// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A vfio-user server, protocol version 0.0, for one client at a time.
//!
//! It answers every malformed message, stays in step with the stream, and outlives its clients:
//! the device behind [`Backend`] keeps its state from one to the next. Sockets never block and a
//! client that stalls holds up nothing but itself.
//!
//! Another client waits for a while, because the connected one may be about to leave, and is then
//! told that the device is busy. A connected one that does not say its version, or does not finish
//! a message, is let go. The time for the version runs while a client waits, so that many silent
//! ones take no more of it than one.

mod backend;
mod connection;
mod error;
mod irqs;
mod layout;
mod protocol;
mod queue;
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
use std::time::{Duration, Instant};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

pub(crate) use backend::{AccessRefused, Backend, Interrupts, Region};
pub(crate) use protocol::Command;

use crate::alarm::Alarm;
use crate::events::{rewatch, unwatch, watch};
use crate::listener::Listener;
use crate::peer::Peer;
use crate::rate_limit::{RateLimit, RateLimits};
use connection::{Connection, Waiting};
use queue::{Caller, Queue};

/// How long another client waits for the connected one to leave.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves clients one after the other, driven by an event manager.
#[derive(Debug)]
pub(crate) struct Server<B> {
    backend: Rc<RefCell<B>>,
    listener: Option<Listener>,
    connection: Option<Connection>,
    waiting: Waiting,
    queue: Queue,
    /// How long a client may take to say its version, and to finish a message.
    client_timeout: Duration,
    alarm: Alarm,
    single_client: bool,
    /// A client that said its version was here.
    has_served: bool,
    complaints: RateLimit,
    notices: RateLimits<&'static str>,
}

impl<B: Backend> Server<B> {
    /// A server that accepts one client after the other, or only the first one. A client gets
    /// `client_timeout` to say its version, and to finish a message that it began.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking, or the kernel gives no timer.
    pub(crate) fn listening(
        listener: UnixListener,
        single_client: bool,
        client_timeout: Duration,
        backend: Rc<RefCell<B>>,
    ) -> std::io::Result<Self> {
        let listener = Listener::new(listener, "A client")?;
        Self::new(Some(listener), single_client, client_timeout, backend)
    }

    /// A server of the one client at the other end of `socket`, which may take its time.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking, or the kernel gives no timer.
    pub(crate) fn connected(socket: UnixStream, backend: Rc<RefCell<B>>) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let mut server = Self::new(None, true, Duration::MAX, backend)?;
        server.begin(Caller::new(socket));
        Ok(server)
    }

    fn new(
        listener: Option<Listener>,
        single_client: bool,
        client_timeout: Duration,
        backend: Rc<RefCell<B>>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            backend,
            listener,
            connection: None,
            waiting: Waiting::Ended,
            queue: Queue::default(),
            client_timeout,
            alarm: Alarm::new()?,
            single_client,
            has_served: false,
            complaints: RateLimit::default(),
            notices: RateLimits::default(),
        })
    }

    /// Whether the last client that was to be served is gone. Whoever connects and says no version is
    /// none, unless there can be no other.
    pub(crate) fn is_finished(&self) -> bool {
        let may_come = self.listener.is_some() && !self.has_served;
        self.single_client && self.connection.is_none() && !may_come
    }

    fn accept(&mut self, ops: &mut EventOps) {
        let caller = self.listener.as_mut().and_then(|one| one.accept(ops));
        let Some(caller) = caller.map(Caller::new) else {
            return;
        };
        let Some(connection) = &self.connection else {
            watch(ops, caller.as_raw_fd(), EventSet::IN);
            return self.begin(caller);
        };
        if let Some(suppressed) = self.notices.permit("wait") {
            let connected = describe(connection);
            log::warn!("{} waits: {connected}{suppressed}", caller.peer);
        }
        // Only that it hangs up is of interest.
        watch(ops, caller.as_raw_fd(), EventSet::empty());
        self.queue.push(caller);
        self.watch_listener(ops);
    }

    /// Serves a client whose socket is watched.
    fn begin(&mut self, caller: Caller) {
        if let Some(suppressed) = self.notices.permit_life_cycle("connect") {
            log::info!("A client is connected: {}{suppressed}", caller.peer);
        }
        self.backend.borrow_mut().client_arrived(&caller.peer);
        self.connection = Some(Connection::new(caller));
        self.waiting = Waiting::Readable;
    }

    /// Gives the connected client a turn; returns whether it stays.
    fn serve(&mut self, ops: &mut EventOps) -> bool {
        let Some(connection) = &mut self.connection else {
            return false;
        };
        let waiting = connection.turn(&mut *self.backend.borrow_mut(), &mut self.complaints);
        if waiting == self.waiting {
            return true;
        }
        self.waiting = waiting;
        let interest = match waiting {
            Waiting::Readable => EventSet::IN,
            Waiting::Writable => EventSet::OUT,
            Waiting::Ended => {
                self.end_connection(ops);
                return false;
            }
        };
        rewatch(ops, connection.as_raw_fd(), interest);
        true
    }

    fn end_connection(&mut self, ops: &mut EventOps) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        unwatch(ops, connection.as_raw_fd());
        self.has_served |= connection.negotiated_at().is_some();
        if let Some(suppressed) = self.notices.permit_life_cycle("leave") {
            log::info!("The client is gone: {}{suppressed}", connection.peer());
        }
        self.backend.borrow_mut().client_left();
        if !self.is_finished()
            && let Some(next) = self.queue.pop()
        {
            unwatch(ops, next.as_raw_fd());
            watch(ops, next.as_raw_fd(), EventSet::IN);
            self.begin(next);
        }
        self.watch_listener(ops);
    }

    /// Looks for new clients while there is a place for them.
    fn watch_listener(&mut self, ops: &mut EventOps) {
        let wanted = !self.queue.is_full() && !self.is_finished();
        if let Some(listener) = &mut self.listener {
            listener.watch(wanted, ops);
        }
    }

    /// How long the connected client may leave unfinished what it began. While it has not said its
    /// version and others wait, no longer than they do.
    fn timeout(&self, connection: &Connection) -> Duration {
        if connection.negotiated_at().is_none() && !self.queue.is_empty() {
            self.patience()
        } else {
            self.client_timeout
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE.min(self.client_timeout)
    }

    /// When the connected client is let go unless it goes on.
    fn client_deadline(&self) -> Option<Instant> {
        let connection = self.connection.as_ref()?;
        let since = connection.unfinished_since()?;
        since.checked_add(self.timeout(connection))
    }

    /// When the client that waits first is refused unless the connected one leaves.
    fn queue_deadline(&self) -> Option<Instant> {
        let start = self.connection.as_ref()?.negotiated_at()?;
        self.queue.patient_until(start, self.patience())
    }

    fn look_at_time(&mut self, ops: &mut EventOps) {
        let now = Instant::now();
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        while is_due(self.client_deadline()) {
            // What a client said while it waited counts.
            if self.serve(ops) && is_due(self.client_deadline()) {
                self.let_go(ops);
            }
        }
        while is_due(self.queue_deadline())
            && let Some(caller) = self.queue.pop()
        {
            unwatch(ops, caller.as_raw_fd());
            self.refuse(caller);
        }
        self.watch_listener(ops);
    }

    /// Ends the connection of a client that took too long.
    fn let_go(&mut self, ops: &mut EventOps) {
        if let Some(connection) = &self.connection
            && let Some(suppressed) = self.notices.permit("overdue")
        {
            let reason = match connection.negotiated_at() {
                None => "it sent no VERSION",
                Some(_) => "the rest of a message did not come",
            };
            let (peer, timeout) = (connection.peer(), self.timeout(connection));
            log::warn!("{peer} is let go: {reason} within {timeout:?}{suppressed}");
        }
        self.end_connection(ops);
    }

    fn refuse(&mut self, caller: Caller) {
        if let Some(connection) = &self.connection
            && let Some(suppressed) = self.notices.permit("refuse")
        {
            let (peer, connected) = (&caller.peer, describe(connection));
            log::warn!("{peer} is refused as one client too many: {connected}{suppressed}");
        }
        caller.refuse();
    }
}

/// The connected client, for those who wait for it.
fn describe(connection: &Connection) -> String {
    let peer: &Peer = connection.peer();
    match connection.negotiated_at() {
        Some(_) => format!("{peer} is connected"),
        None => format!("{peer} is connected and has sent no VERSION"),
    }
}

impl<B: Backend> MutEventSubscriber for Server<B> {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        let descriptor = events.fd();
        let connection = self.connection.as_ref().map(AsRawFd::as_raw_fd);
        if Some(descriptor) == connection {
            self.serve(ops);
        } else if descriptor == self.alarm.as_raw_fd() {
            self.look_at_time(ops);
        } else if self
            .listener
            .as_ref()
            .is_some_and(|one| one.owns(descriptor))
        {
            self.accept(ops);
        } else if let Some(caller) = self.queue.remove(descriptor) {
            unwatch(ops, caller.as_raw_fd());
            self.watch_listener(ops);
        }
        let deadlines = [self.client_deadline(), self.queue_deadline()];
        self.alarm.set(deadlines.into_iter().flatten().min());
    }

    fn init(&mut self, ops: &mut EventOps) {
        watch(ops, self.alarm.as_raw_fd(), EventSet::IN);
        if let Some(listener) = &mut self.listener {
            listener.start(ops);
        }
        if let Some(connection) = &self.connection {
            watch(ops, connection.as_raw_fd(), EventSet::IN);
        }
    }
}
