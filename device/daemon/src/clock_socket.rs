// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Lets others move a manual clock: each line `advance NANOSECONDS` is answered with a line
//! `now NANOSECONDS`, once everything that was due meanwhile has happened.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use crate::device::Device;
use crate::events::{unwatch, watch};

/// Clients at a time; while there are as many, others wait in the listen queue.
const MAX_CLIENTS: usize = 8;
/// Longest line, with its end: `advance` and 20 digits fit well.
const MAX_LINE_BYTES: usize = 64;

/// The clock socket.
#[derive(Debug)]
pub struct ClockSocket {
    listener: UnixListener,
    clients: Vec<Client>,
    device: Rc<RefCell<Device>>,
}

/// A connection and the beginning of its next line.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    line: Vec<u8>,
}

impl ClockSocket {
    /// Serves clients that connect to `listener`.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking.
    pub fn new(listener: UnixListener, device: Rc<RefCell<Device>>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            clients: Vec::new(),
            device,
        })
    }

    fn accept(&mut self, ops: &mut EventOps) {
        let accepted = self.listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        match accepted {
            Ok(stream) => {
                watch(ops, stream.as_raw_fd(), EventSet::IN);
                let line = Vec::new();
                self.clients.push(Client { stream, line });
                if self.clients.len() == MAX_CLIENTS {
                    unwatch(ops, self.listener.as_raw_fd());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => log::warn!("A client of the clock cannot be served: {error}"),
        }
    }

    fn serve(&mut self, descriptor: RawFd, ops: &mut EventOps) {
        let is_meant = |client: &Client| client.stream.as_raw_fd() == descriptor;
        let Some(index) = self.clients.iter().position(is_meant) else {
            return;
        };
        let device = &self.device;
        let served = self
            .clients
            .get_mut(index)
            .map(|client| client.serve(|nanoseconds| device.borrow_mut().pass_time(nanoseconds)));
        if let Some(Err(error)) = served {
            if error.kind() != io::ErrorKind::UnexpectedEof {
                log::warn!("A client of the clock is let go: {error}");
            }
            unwatch(ops, descriptor);
            if self.clients.len() == MAX_CLIENTS {
                watch(ops, self.listener.as_raw_fd(), EventSet::IN);
            }
            self.clients.swap_remove(index);
        }
    }
}

impl Client {
    /// Takes what has come and answers whole lines. An error is the end of the connection; so is a
    /// client that lets answers pile up.
    fn serve(&mut self, mut pass_time: impl FnMut(u64) -> u64) -> io::Result<()> {
        let mut bytes = [0; MAX_LINE_BYTES];
        let count = match self.stream.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for byte in bytes.iter().take(count) {
            match byte {
                b'\n' => {
                    let answer = answer(&self.line, &mut pass_time);
                    self.line.clear();
                    self.stream.write_all(answer.as_bytes())?;
                }
                _ if self.line.len() == MAX_LINE_BYTES => {
                    let message = format!("a line is longer than {MAX_LINE_BYTES} bytes");
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

fn answer(line: &[u8], mut pass_time: impl FnMut(u64) -> u64) -> String {
    let line = String::from_utf8_lossy(line);
    let nanoseconds = line
        .strip_prefix("advance ")
        .and_then(|number| number.parse().ok());
    match nanoseconds {
        Some(nanoseconds) => format!("now {}\n", pass_time(nanoseconds)),
        None => "error: write advance NANOSECONDS\n".to_owned(),
    }
}

impl MutEventSubscriber for ClockSocket {
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

#[cfg(test)]
mod tests {
    use std::io::BufRead;

    use proptest::prelude::*;

    use super::*;

    fn client() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let line = Vec::new();
        (Client { stream: ours, line }, theirs)
    }

    #[test]
    fn lines_are_answered_in_order_however_they_are_cut() {
        let (mut client, mut other) = client();
        let mut now = 0;
        for piece in ["adv", "ance 5\nadvance 7\nwait\n", "advance -1\n"] {
            other.write_all(piece.as_bytes()).unwrap();
            client
                .serve(|time| {
                    now += time;
                    now
                })
                .unwrap();
        }
        drop(client);
        let answers: Vec<_> = io::BufReader::new(other)
            .lines()
            .map(Result::unwrap)
            .collect();
        let refusal = "error: write advance NANOSECONDS";
        assert_eq!(answers, ["now 5", "now 12", refusal, refusal]);
    }

    #[test]
    fn a_line_without_an_end_ends_the_connection() {
        let (mut client, mut other) = client();
        other.write_all(&[b'x'; MAX_LINE_BYTES]).unwrap();
        client.serve(|time| time).unwrap();
        other.write_all(b"x").unwrap();
        assert!(client.serve(|time| time).is_err());
    }

    #[test]
    fn a_client_that_does_not_read_is_let_go() {
        let (mut client, mut other) = client();
        other.set_nonblocking(true).unwrap();
        let end = std::iter::repeat_with(|| {
            // Once the socket is full the other side cannot write more, either.
            let _ = other.write(b"\n\n\n\n\n\n\n\n");
            client.serve(|time| time)
        })
        .take(1 << 20)
        .find_map(Result::err);
        assert_eq!(end.unwrap().kind(), io::ErrorKind::WouldBlock);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (mut client, mut other) = client();
            other.write_all(&bytes).unwrap();
            for _ in 0..8 {
                if client.serve(|time| time).is_err() {
                    break;
                }
            }
        }
    }
}
