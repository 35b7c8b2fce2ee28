// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Clients that wait while another one is connected.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::receiver::{Received, Receiver};
use super::session::Reply;
use crate::peer::Peer;

/// Clients that wait here, each with its own time; more stay in the kernel's queue, where no time
/// runs. Their descriptors are among the [reserved](crate::descriptors::RESERVED) ones.
const MAX_CALLERS: usize = 64;

/// A client whose turn has not come.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) socket: UnixStream,
    pub(super) peer: Peer,
    pub(super) arrived: Instant,
}

impl Caller {
    /// Takes over a non-blocking socket.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            peer: Peer::of(&socket),
            socket,
            arrived: Instant::now(),
        }
    }

    /// Answers the client's first message, if it has sent one, with `EBUSY`, and hangs up.
    pub(super) fn refuse(self) {
        let mut receiver = Receiver::default();
        if let Ok(Received::Message) = receiver.receive(&self.socket) {
            let mut reply = Reply::default();
            reply.fail(&receiver.take().header, libc::EBUSY.unsigned_abs());
            // A client that is gone misses nothing.
            let _ = (&self.socket).write(&reply.bytes);
        }
    }
}

impl AsRawFd for Caller {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The clients that wait, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<Caller>);

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_CALLERS
    }

    pub(super) fn push(&mut self, caller: Caller) {
        self.0.push_back(caller);
    }

    /// Takes the client whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Caller> {
        self.0.pop_front()
    }

    /// Takes the client with this descriptor.
    pub(super) fn remove(&mut self, descriptor: RawFd) -> Option<Caller> {
        let is_meant = |caller: &Caller| caller.as_raw_fd() == descriptor;
        let index = self.0.iter().position(is_meant)?;
        self.0.remove(index)
    }

    /// When the first of them has waited for `patience`, from `start` on or from its arrival if
    /// that was later.
    pub(super) fn patient_until(&self, start: Instant, patience: Duration) -> Option<Instant> {
        let first = self.0.front()?;
        first.arrived.max(start).checked_add(patience)
    }
}
