// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The connections of a listening socket whose callers are served side by side.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use event_manager::{EventOps, EventSet};

use crate::events::{rewatch, unwatch, watch};
use crate::listener::Listener;
use crate::rate_limit::RateLimit;

/// Connections that are served side by side.
const MAX_PEERS: usize = 8;

/// A listening socket and its connections, each of them a `P`. Where there are as many as there
/// may be, a new one takes the place of the one that was silent the longest: callers who connect
/// and do nothing lock nobody out.
#[derive(Debug)]
pub(crate) struct Peers<P> {
    listener: Listener,
    /// Who connects here, in the log.
    who: &'static str,
    /// The one that was silent the longest comes first.
    peers: Vec<Peer<P>>,
    complaints: RateLimit,
}

/// A connection and what it waits for.
#[derive(Debug)]
struct Peer<P> {
    peer: P,
    turn: Turn,
}

impl<P: AsRawFd> Peers<P> {
    /// Nobody is connected yet.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking.
    pub(crate) fn new(listener: UnixListener, who: &'static str) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::new(listener, who)?,
            who,
            peers: Vec::new(),
            complaints: RateLimit::default(),
        })
    }

    /// Has the arrival of callers delivered.
    pub(crate) fn start(&mut self, ops: &mut EventOps) {
        self.listener.start(ops);
    }

    /// Whether an event of a descriptor is about callers who arrive.
    pub(crate) fn is_listener(&self, descriptor: RawFd) -> bool {
        self.listener.owns(descriptor)
    }

    /// Takes a caller who waits, as a non-blocking stream.
    pub(crate) fn accept(&mut self, ops: &mut EventOps) -> Option<UnixStream> {
        self.listener.accept(ops)
    }

    /// Keeps a connection until it ends; `turn` says what it waits for first.
    pub(crate) fn add(&mut self, peer: P, turn: Turn, ops: &mut EventOps) {
        let Some(interest) = turn.interest() else {
            return;
        };
        if self.peers.len() >= MAX_PEERS {
            let silent = self.peers.remove(0);
            unwatch(ops, silent.peer.as_raw_fd());
        }
        watch(ops, peer.as_raw_fd(), interest);
        self.peers.push(Peer { peer, turn });
    }

    /// Lets a connection take its turn. It ends when `turn` says so, or fails.
    pub(crate) fn serve(
        &mut self,
        descriptor: RawFd,
        ops: &mut EventOps,
        turn: impl FnOnce(&mut P) -> io::Result<Turn>,
    ) {
        let is_meant = |known: &Peer<P>| known.peer.as_raw_fd() == descriptor;
        let Some(index) = self.peers.iter().position(is_meant) else {
            return;
        };
        let mut known = self.peers.remove(index);
        let next = turn(&mut known.peer).unwrap_or_else(|error| {
            if let Some(suppressed) = self.complaints.permit() {
                log::warn!("{} is let go: {error}{suppressed}", self.who);
            }
            Turn::Ends
        });
        let Some(interest) = next.interest() else {
            return unwatch(ops, descriptor);
        };
        if next != known.turn {
            rewatch(ops, descriptor, interest);
            known.turn = next;
        }
        self.peers.push(known);
    }
}

/// What becomes of a connection after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It waits for something to read.
    Reads,
    /// It waits until its peer takes more.
    Writes,
    /// There is nothing more to do for it.
    Ends,
}

impl Turn {
    fn interest(self) -> Option<EventSet> {
        match self {
            Self::Reads => Some(EventSet::IN),
            Self::Writes => Some(EventSet::OUT),
            Self::Ends => None,
        }
    }
}
