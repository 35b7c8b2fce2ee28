// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Bytes on their way to a peer who may take its time.

use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;

use crate::peers::Turn;

/// What a peer has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Whether the peer has taken everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that are kept for the peer.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds bytes; they go with the next [`Outgoing::send`].
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends what a non-blocking socket takes. The connection reads on once that is everything,
    /// and ends when the peer is gone, which has had enough.
    ///
    /// # Errors
    /// When the socket fails otherwise.
    pub(crate) fn send(&mut self, mut stream: &UnixStream) -> io::Result<Turn> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.sent..) {
            match stream.write(rest) {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => return Ok(Turn::Writes),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => return Ok(Turn::Ends),
                    _ => return Err(error),
                },
            }
        }
        self.bytes.clear();
        self.sent = 0;
        Ok(Turn::Reads)
    }
}
