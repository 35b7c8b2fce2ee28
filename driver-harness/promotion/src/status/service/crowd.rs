// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A listening socket and its connections, of which there is a bounded number.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixListener;

use rustix::event::{PollFd, PollFlags};

use super::answers::Speech;
use super::board::Copies;
use super::connection::Connection;

/// Connections at a time. One more, and the one that has been there longest has to go: silent ones
/// cannot keep others out.
const CONNECTIONS_MAX: usize = 16;
/// Connections taken at a time, so that everybody has a turn.
const TAKEN_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Crowd {
    listener: UnixListener,
    speech: Speech,
    connections: VecDeque<Connection>,
}

impl Crowd {
    pub(super) fn new(listener: UnixListener, speech: Speech) -> io::Result<Crowd> {
        listener.set_nonblocking(true)?;
        Ok(Crowd {
            listener,
            speech,
            connections: VecDeque::new(),
        })
    }

    /// Descriptors that [`Crowd::watch`] adds.
    pub(super) fn watched(&self) -> usize {
        1 + self.connections.len()
    }

    /// Adds what is waited for: the listening socket, then each connection.
    pub(super) fn watch<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        polled.push(PollFd::new(&self.listener, PollFlags::IN));
        for connection in &self.connections {
            let flags = match connection.waits_for_room(self.speech) {
                true => PollFlags::OUT,
                false => PollFlags::IN,
            };
            polled.push(PollFd::new(connection, flags));
        }
    }

    /// Answers whoever is ready, by the places of [`Crowd::watch`], and takes new connections.
    pub(super) fn serve(&mut self, ready: &[bool], copies: &mut Copies) -> io::Result<()> {
        let mut places = ready.iter().skip(1);
        let speech = self.speech;
        self.connections
            .retain_mut(|connection| match places.next() {
                Some(true) => connection.proceed(speech, copies),
                _ => true,
            });
        match ready.first() {
            Some(true) => self.take(),
            _ => Ok(()),
        }
    }

    fn take(&mut self) -> io::Result<()> {
        for _ in 0..TAKEN_MAX {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    return match error.kind() {
                        io::ErrorKind::WouldBlock
                        | io::ErrorKind::Interrupted
                        | io::ErrorKind::ConnectionAborted => Ok(()),
                        _ => {
                            // No more files, perhaps: one less is needed then.
                            self.connections.pop_front();
                            Err(error)
                        }
                    };
                }
            };
            stream.set_nonblocking(true)?;
            if self.connections.len() >= CONNECTIONS_MAX {
                self.connections.pop_front();
            }
            self.connections.push_back(Connection::new(stream));
        }
        Ok(())
    }
}
