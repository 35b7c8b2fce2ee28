// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A socket for questions of a line each, which are answered with a line each, in order.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use event_manager::{EventOps, Events, MutEventSubscriber};

use crate::outgoing::Outgoing;
use crate::peers::{Peers, Turn};

/// Longest line, without its end.
const MAX_LINE_BYTES: usize = 256;

/// Gives the answer to a line; neither has its end.
pub(crate) type Answer = Box<dyn FnMut(&str) -> String>;

/// A listening socket, its connections, and who answers.
pub(crate) struct LineSocket {
    peers: Peers<Client>,
    answer: Answer,
}

/// A connection and the beginning of its next line.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    line: Vec<u8>,
    answers: Outgoing,
}

impl LineSocket {
    /// Answers the lines of whoever connects to `listener`; the log calls them `who`.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking.
    pub(crate) fn new(
        listener: UnixListener,
        who: &'static str,
        answer: Answer,
    ) -> io::Result<Self> {
        let peers = Peers::new(listener, who)?;
        Ok(Self { peers, answer })
    }
}

impl fmt::Debug for LineSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed = f.debug_struct("LineSocket");
        printed.field("peers", &self.peers).finish_non_exhaustive()
    }
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            line: Vec::new(),
            answers: Outgoing::default(),
        }
    }

    /// Takes what has come and answers whole lines. Nothing is read from a client that has not
    /// taken its answers.
    fn turn(&mut self, answer: impl FnMut(&str) -> String) -> io::Result<Turn> {
        if self.answers.is_empty() {
            let mut bytes = [0; MAX_LINE_BYTES];
            let count = match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(Turn::Ends),
                Ok(count) => count,
                Err(error) if is_passing(&error) => return Ok(Turn::Reads),
                Err(error) => return Err(error),
            };
            self.take(bytes.get(..count).unwrap_or_default(), answer)?;
        }
        self.answers.send(&self.stream)
    }

    fn take(&mut self, bytes: &[u8], mut answer: impl FnMut(&str) -> String) -> io::Result<()> {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let answer = answer(&String::from_utf8_lossy(&self.line));
                    self.line.clear();
                    self.answers.push(format!("{answer}\n").as_bytes());
                }
                _ if self.line.len() == MAX_LINE_BYTES => {
                    let message = format!("A line is longer than {MAX_LINE_BYTES} bytes");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                byte => self.line.push(*byte),
            }
        }
        Ok(())
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl MutEventSubscriber for LineSocket {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        let Self { peers, answer } = self;
        if !peers.is_listener(events.fd()) {
            peers.serve(events.fd(), ops, |client| client.turn(answer));
        } else if let Some(stream) = peers.accept(ops) {
            peers.add(Client::new(stream), Turn::Reads, ops);
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        self.peers.start(ops);
    }
}

#[cfg(test)]
mod tests;
