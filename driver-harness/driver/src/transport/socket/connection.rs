// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Requests and replies over a stream socket.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::protocol::{
    Command, FLAG_ERROR, FLAG_NO_REPLY, FLAG_TYPE, HEADER_BYTES, Header, TYPE_COMMAND, TYPE_REPLY,
};

/// How long a server may take for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest payload of any message for a client of this kind.
const PAYLOAD_MAX_BYTES: usize = 1 << 16;
/// A server may ask that often before it answers.
const SERVER_REQUESTS_MAX: u32 = 1000;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    next_id: u16,
    /// What broke the connection: nothing behind it can be understood.
    broken: Option<Broken>,
}

/// Why a connection is used no more.
#[derive(Debug)]
struct Broken {
    /// The server may still be there.
    is_late: bool,
    reason: String,
}

/// A server's answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) payload: Vec<u8>,
    pub(super) file: Option<File>,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Connection> {
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Connection {
            stream,
            next_id: 1,
            broken: None,
        })
    }

    /// Sends a request and waits for its reply. An error number of the server leaves the connection
    /// usable; anything else ends it.
    pub(super) fn call(
        &mut self,
        command: Command,
        payload: &[u8],
        fds: &[RawFd],
    ) -> io::Result<Reply> {
        if let Some(Broken { is_late, reason }) = &self.broken {
            let kind = match is_late {
                true => io::ErrorKind::TimedOut,
                false => io::ErrorKind::NotConnected,
            };
            let words = format!("The connection was given up: {reason}");
            return Err(io::Error::new(kind, words));
        }
        let outcome = self.exchange(command, payload, fds).map_err(in_words);
        let (header, reply) = outcome.inspect_err(|error| {
            self.broken = Some(Broken {
                is_late: error.kind() == io::ErrorKind::TimedOut,
                reason: error.to_string(),
            });
        })?;
        match header.flags & FLAG_ERROR {
            0 => Ok(reply),
            _ => Err(io::Error::from_raw_os_error(
                i32::try_from(header.error).unwrap_or(libc::EIO),
            )),
        }
    }

    fn exchange(
        &mut self,
        command: Command,
        payload: &[u8],
        fds: &[RawFd],
    ) -> io::Result<(Header, Reply)> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.send(id, command as u16, TYPE_COMMAND, payload, fds)?;
        for _ in 0..SERVER_REQUESTS_MAX {
            let (header, reply) = self.receive()?;
            match header.flags & FLAG_TYPE {
                TYPE_REPLY if header.id == id && header.command == command as u16 => {
                    return Ok((header, reply));
                }
                TYPE_COMMAND => self.decline(header)?,
                _ => {
                    return Err(invalid(format!(
                        "request {id} for command {} was answered by message {} for command {}",
                        command as u16, header.id, header.command
                    )));
                }
            }
        }
        Err(invalid("the server asks without end".into()))
    }

    /// Answers a request of the server, for example for memory, of which there is none here.
    fn decline(&mut self, request: Header) -> io::Result<()> {
        if request.flags & FLAG_NO_REPLY != 0 {
            return Ok(());
        }
        let flags = TYPE_REPLY | FLAG_ERROR;
        self.send(request.id, request.command, flags, &[], &[])
    }

    fn send(
        &mut self,
        id: u16,
        command: u16,
        flags: u32,
        payload: &[u8],
        fds: &[RawFd],
    ) -> io::Result<()> {
        let bytes = HEADER_BYTES + payload.len();
        let header = Header {
            id,
            command,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            flags,
            error: match flags & FLAG_ERROR {
                0 => 0,
                _ => libc::ENOTSUP.unsigned_abs(),
            },
        };
        let mut message = header.encode().to_vec();
        message.extend_from_slice(payload);
        if fds.is_empty() {
            return self.stream.write_all(&message);
        }
        // Descriptors go with the first byte; the rest follows if the socket does not take all.
        let sent = uninterrupted(|| {
            let sent = self.stream.send_with_fds(&[&message[..]], fds);
            sent.map_err(|error| io::Error::from_raw_os_error(error.errno()))
        })?;
        self.stream
            .write_all(message.get(sent..).unwrap_or_default())
    }

    fn receive(&mut self) -> io::Result<(Header, Reply)> {
        let mut header = [0; HEADER_BYTES];
        // Descriptors come with the first byte.
        let (count, file) = uninterrupted(|| {
            let received = self.stream.recv_with_fd(&mut header);
            received.map_err(|error| io::Error::from_raw_os_error(error.errno()))
        })?;
        match header.get_mut(count..) {
            Some(rest) if count > 0 => self.stream.read_exact(rest)?,
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        let header = Header::decode(&header);
        let bytes = usize::try_from(header.bytes).unwrap_or(usize::MAX);
        let bytes = bytes
            .checked_sub(HEADER_BYTES)
            .filter(|&bytes| bytes <= PAYLOAD_MAX_BYTES)
            .ok_or_else(|| invalid(format!("a message of {} bytes came", header.bytes)))?;
        let mut payload = vec![0; bytes];
        self.stream.read_exact(&mut payload)?;
        Ok((header, Reply { payload, file }))
    }
}

/// Does it again where a signal came between. A socket with a timeout ends every call so, also for handlers that
/// ask the kernel to go on (signal(7)), and a connection in the middle of an answer is worth nothing.
/// A reply that does not come in time is told by the kernel as one that could be asked for again.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it did not answer for {} s", REPLY_TIMEOUT.as_secs()),
        ),
        _ => error,
    }
}

fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

pub(super) fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_does_not_come_is_no_error_number() {
        let late = in_words(io::Error::from_raw_os_error(libc::EAGAIN));
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(late.to_string(), "it did not answer for 20 s");
        let other = in_words(io::Error::from_raw_os_error(libc::EPIPE));
        assert_eq!(other.kind(), io::ErrorKind::BrokenPipe);
    }
}
