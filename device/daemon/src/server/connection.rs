// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One connected client: its socket, the message being received and the reply being sent.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::backend::Backend;
use super::error::{Refusal, RequestError};
use super::protocol::Command;
use super::queue::Caller;
use super::receiver::{ReceiveError, Received, Receiver};
use super::session::{Reply, Session};
use crate::logging::chain;
use crate::peer::Peer;
use crate::rate_limit::RateLimit;

/// What a connection waits for after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// For more bytes of the client.
    Readable,
    /// For the client to take the rest of a reply. Nothing is read until then, so a client that
    /// takes no replies costs no memory.
    Writable,
    /// For nothing: the connection has ended.
    Ended,
}

#[derive(Debug)]
pub(super) struct Connection {
    socket: UnixStream,
    receiver: Receiver,
    session: Session,
    reply: Reply,
    sent: usize,
    ends_after_reply: bool,
    peer: Peer,
    connected_at: Instant,
    negotiated_at: Option<Instant>,
    /// When the message began to arrive that is not whole.
    message_began: Option<Instant>,
}

impl Connection {
    /// It is a client's turn. Its time to say its version began when it arrived.
    pub(super) fn new(caller: Caller) -> Self {
        let Caller {
            socket,
            peer,
            arrived,
        } = caller;
        Self {
            socket,
            receiver: Receiver::default(),
            session: Session::default(),
            reply: Reply::default(),
            sent: 0,
            ends_after_reply: false,
            peer,
            connected_at: arrived,
            negotiated_at: None,
            message_began: None,
        }
    }

    /// The process at the other end, for the log.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// When the client had agreed on a version.
    pub(super) fn negotiated_at(&self) -> Option<Instant> {
        self.negotiated_at
    }

    /// When the client began what it has not finished: to connect, which ends with its version, or
    /// to send a message.
    pub(super) fn unfinished_since(&self) -> Option<Instant> {
        if self.negotiated_at.is_none() {
            Some(self.connected_at)
        } else {
            self.message_began
        }
    }

    /// One turn: sends what is owed, or receives and handles at most one message. Never blocks.
    /// `complaints` limits what is logged of all clients together.
    pub(super) fn turn(
        &mut self,
        backend: &mut dyn Backend,
        complaints: &mut RateLimit,
    ) -> Waiting {
        if self.reply.bytes.is_empty() {
            match self.receiver.receive(&self.socket) {
                Ok(Received::Incomplete) => {
                    self.note_incomplete();
                    return Waiting::Readable;
                }
                Ok(Received::Closed) => return Waiting::Ended,
                Ok(Received::Message) => self.handle_message(backend, complaints),
                Err(error) => self.refuse_stream(&error, complaints),
            }
        }
        self.send()
    }

    fn note_incomplete(&mut self) {
        if self.receiver.is_within_message() {
            self.message_began.get_or_insert_with(Instant::now);
        }
    }

    fn handle_message(&mut self, backend: &mut dyn Backend, complaints: &mut RateLimit) {
        self.message_began = None;
        let message = self.receiver.take();
        if let Err(refusal) = self.session.handle(message, backend, &mut self.reply) {
            log_refusal(&refusal, complaints);
        }
        if self.session.is_negotiated() {
            self.negotiated_at.get_or_insert_with(Instant::now);
        }
    }

    /// The stream is out of step: answers if there is something to answer, and ends.
    fn refuse_stream(&mut self, error: &ReceiveError, complaints: &mut RateLimit) {
        if let Some(suppressed) = complaints.permit() {
            log::warn!("The connection ends: {}{suppressed}", chain(error));
        }
        self.ends_after_reply = true;
        if let Some(header) = error.header() {
            self.reply.fail(header, libc::EINVAL.unsigned_abs());
        }
    }

    fn send(&mut self) -> Waiting {
        while let Some(rest @ [_, ..]) = self.reply.bytes.get(self.sent..) {
            let sent = match self.reply.file.as_ref().filter(|_| self.sent == 0) {
                Some(file) => self
                    .socket
                    .send_with_fd(rest, file.as_raw_fd())
                    .map_err(io::Error::from),
                None => (&self.socket).write(rest),
            };
            match sent {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Waiting::Writable;
                }
                Err(_) => return Waiting::Ended,
            }
        }
        self.sent = 0;
        self.reply.bytes.clear();
        self.reply.file = None;
        if self.ends_after_reply {
            Waiting::Ended
        } else {
            Waiting::Readable
        }
    }
}

fn log_refusal(refusal: &Refusal, complaints: &mut RateLimit) {
    let text = chain(refusal);
    // QEMU asks every device for its error interrupt and takes the refusal for a no.
    let expected = matches!(
        (refusal.command, &refusal.reason),
        (Command::DeviceGetIrqInfo, RequestError::UnknownInterrupt(_))
    );
    if expected {
        log::debug!("{text}");
    } else if let Some(suppressed) = complaints.permit() {
        log::warn!("{text}{suppressed}");
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
