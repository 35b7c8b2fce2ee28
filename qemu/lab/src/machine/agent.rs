// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The lab's end of the line to the guest's agent.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use chmu::agent::protocol::{Command, Request, Response};

/// QEMU takes a request from the socket when the guest reads it.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends requests and takes answers apart; the caller does the waiting.
#[derive(Debug)]
pub(super) struct AgentLine {
    stream: UnixStream,
    received: Vec<u8>,
    last_id: u64,
}

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Something, maybe a whole line.
    Data,
    /// QEMU has closed the line.
    End,
}

impl AgentLine {
    /// Takes the connection that QEMU has made.
    pub(super) fn accept(listener: &UnixListener) -> io::Result<Self> {
        let (stream, _) = listener.accept()?;
        stream.set_write_timeout(Some(SEND_TIMEOUT))?;
        stream.set_nonblocking(false)?;
        Ok(Self {
            stream,
            received: Vec::new(),
            last_id: 0,
        })
    }

    /// Sends a request and returns its number.
    pub(super) fn send(&mut self, command: Command) -> io::Result<u64> {
        self.last_id += 1;
        let id = self.last_id;
        let mut line = serde_json::to_vec(&Request { id, command })?;
        line.push(b'\n');
        self.stream.write_all(&line)?;
        Ok(id)
    }

    /// The next response among what has been read so far.
    pub(super) fn next_response(&mut self) -> Option<Response> {
        loop {
            let end = self.received.iter().position(|byte| *byte == b'\n')?;
            let line: Vec<u8> = self.received.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(response) => return Some(response),
                Err(error) => {
                    let text = String::from_utf8_lossy(&line);
                    log::debug!("The agent's port said {text:?}: {error}");
                }
            }
        }
    }

    /// Reads what is there; to be called when the line is readable.
    pub(super) fn receive(&mut self) -> io::Result<Received> {
        let mut piece = [0; 64 << 10];
        let count = self.stream.read(&mut piece)?;
        if count == 0 {
            return Ok(Received::End);
        }
        self.received.extend_from_slice(&piece[..count]);
        Ok(Received::Data)
    }
}

/// Readable when the agent says something, and at the end of the line.
impl AsFd for AgentLine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use chmu::agent::protocol::Reply;

    use super::*;

    #[test]
    fn answers_come_out_whole_and_other_lines_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut guest = UnixStream::connect(&path).unwrap();
        let mut line = AgentLine::accept(&listener).unwrap();
        let id = line.send(Command::PowerOff {}).unwrap();
        let mut request = [0; 24];
        guest.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"{\"id\":1,\"power_off\":{}}\n");
        guest.write_all(b"noise\n{\"id\":1,").unwrap();
        assert_eq!(line.receive().unwrap(), Received::Data);
        assert!(line.next_response().is_none());
        guest
            .write_all(b"\"done\":{}}\n{\"ready\":{\"kernel\":\"7\"}}\n")
            .unwrap();
        line.receive().unwrap();
        let response = line.next_response().unwrap();
        assert_eq!((response.id, response.reply), (Some(id), Reply::Done {}));
        assert!(matches!(
            line.next_response().unwrap().reply,
            Reply::Ready { .. }
        ));
        drop(guest);
        assert_eq!(line.receive().unwrap(), Received::End);
    }
}
