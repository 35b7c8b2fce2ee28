// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Takes messages off a non-blocking stream socket, piece by piece.
//!
//! A read never asks for bytes beyond the message at hand. The kernel hands file descriptors over
//! with the bytes they were sent with, so whatever arrives belongs to this message and no other.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use vmm_sys_util::sock_ctrl_msg::ScmSocket;
use zerocopy::IntoBytes;

use super::protocol::{HEADER_BYTES, Header, MAX_MESSAGE_FDS, MAX_PAYLOAD_BYTES};

/// Why the stream cannot be read any further; the connection has to end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiveError {
    /// Reading from the socket failed.
    #[error("The socket cannot be read")]
    Socket(#[source] io::Error),
    /// The announced size does not even cover the header.
    #[error("A message announces {size} bytes, fewer than its own header of {HEADER_BYTES}")]
    SizeBelowHeader {
        /// The header with that size.
        header: Header,
        /// Bytes of the whole message that its header announces.
        size: u32,
    },
    /// The announced size is above anything that was negotiated.
    #[error(
        "A message announces {size} bytes, more than the {} of the largest one",
        HEADER_BYTES + MAX_PAYLOAD_BYTES
    )]
    SizeAboveLimit {
        /// The header with that size.
        header: Header,
        /// Bytes of the whole message that its header announces.
        size: u32,
    },
    /// One message came with more descriptors than were negotiated.
    #[error("A message carries more than {MAX_MESSAGE_FDS} file descriptors")]
    TooManyDescriptors,
    /// The client did nothing wrong.
    #[error(
        "A message carries file descriptors, and this process may have no more of them open; \
         raise its limit (ulimit -n)"
    )]
    OutOfDescriptors(#[source] io::Error),
}

impl ReceiveError {
    /// The header to answer before the connection ends, if one arrived.
    pub(super) fn header(&self) -> Option<&Header> {
        match self {
            Self::SizeBelowHeader { header, .. } | Self::SizeAboveLimit { header, .. } => {
                Some(header)
            }
            Self::Socket(_) | Self::TooManyDescriptors | Self::OutOfDescriptors(_) => None,
        }
    }
}

/// How far a [`Receiver::receive`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// A whole message is there; [`Receiver::take`] hands it out.
    Message,
    /// The rest of the message is not there yet.
    Incomplete,
    /// The client closed the connection.
    Closed,
}

/// One message: its header, what follows it, and the descriptors that came with it.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// Header, its size already checked.
    pub header: Header,
    /// What follows the header.
    pub payload: &'a [u8],
    /// Descriptors; those that nobody takes are closed with the message.
    pub descriptors: Vec<OwnedFd>,
}

/// Collects the bytes and descriptors of one message at a time.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    header: Header,
    header_filled: usize,
    payload: Vec<u8>,
    payload_filled: usize,
    descriptors: Vec<OwnedFd>,
}

impl Receiver {
    /// Whether a message has begun to arrive and is not whole.
    pub(super) fn is_within_message(&self) -> bool {
        self.header_filled > 0
    }

    /// Reads from `socket` until one message is complete or the socket has no more bytes.
    ///
    /// # Errors
    /// When the socket fails, or the stream is not one of vfio-user messages.
    pub(super) fn receive(&mut self, socket: &UnixStream) -> Result<Received, ReceiveError> {
        while self.header_filled < HEADER_BYTES {
            let target = self.header.as_mut_bytes();
            let missing = target.get_mut(self.header_filled..).unwrap_or_default();
            let count = match receive_piece(socket, missing, &mut self.descriptors)? {
                Piece::Bytes(count) => count,
                Piece::None => return Ok(Received::Incomplete),
                Piece::End => return Ok(Received::Closed),
            };
            self.header_filled = self.header_filled.saturating_add(count);
            if self.header_filled == HEADER_BYTES {
                let bytes = payload_bytes(&self.header)?;
                self.payload.resize(bytes, 0);
                self.payload_filled = 0;
            }
        }
        while self.payload_filled < self.payload.len() {
            let missing = self.payload.get_mut(self.payload_filled..);
            let missing = missing.unwrap_or_default();
            let count = match receive_piece(socket, missing, &mut self.descriptors)? {
                Piece::Bytes(count) => count,
                Piece::None => return Ok(Received::Incomplete),
                Piece::End => return Ok(Received::Closed),
            };
            self.payload_filled = self.payload_filled.saturating_add(count);
        }
        Ok(Received::Message)
    }

    /// Hands out the message that [`Receiver::receive`] completed, and makes room for the next.
    pub(super) fn take(&mut self) -> Message<'_> {
        self.header_filled = 0;
        Message {
            header: self.header,
            payload: self.payload.get(..self.payload_filled).unwrap_or_default(),
            descriptors: std::mem::take(&mut self.descriptors),
        }
    }
}

fn payload_bytes(header: &Header) -> Result<usize, ReceiveError> {
    let size = header.message_size.get();
    let header = *header;
    let bytes = usize::try_from(size)
        .ok()
        .and_then(|size| size.checked_sub(HEADER_BYTES))
        .ok_or(ReceiveError::SizeBelowHeader { header, size })?;
    if bytes > MAX_PAYLOAD_BYTES {
        return Err(ReceiveError::SizeAboveLimit { header, size });
    }
    Ok(bytes)
}

/// What one system call brought.
enum Piece {
    Bytes(usize),
    None,
    End,
}

/// Receives at most `target` bytes and adds the descriptors that came with them.
fn receive_piece(
    socket: &UnixStream,
    target: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<Piece, ReceiveError> {
    let mut numbers = [-1; MAX_MESSAGE_FDS];
    let mut pieces = [libc::iovec {
        iov_base: target.as_mut_ptr().cast(),
        iov_len: target.len(),
    }];
    // SAFETY: the only element of `pieces` covers exactly `target`, borrowed mutably until here.
    let received = unsafe { socket.recv_with_fds(&mut pieces, &mut numbers) };
    let (bytes, count) = match received.map_err(io::Error::from) {
        Ok(received) => received,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Piece::None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Piece::None),
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
            return Err(descriptors_refused(socket));
        }
        Err(error) => return Err(ReceiveError::Socket(error)),
    };
    for number in numbers.into_iter().take(count) {
        // SAFETY: the kernel just installed this descriptor for us and nobody else knows it.
        descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
    }
    if descriptors.len() > MAX_MESSAGE_FDS {
        return Err(ReceiveError::TooManyDescriptors);
    }
    Ok(if bytes == 0 {
        Piece::End
    } else {
        Piece::Bytes(bytes)
    })
}

/// Why the kernel left descriptors out: it says the same for a message with too many and for a
/// process that may have no more.
fn descriptors_refused(socket: &UnixStream) -> ReceiveError {
    match socket.try_clone() {
        Ok(_) => ReceiveError::TooManyDescriptors,
        Err(error) => ReceiveError::OutOfDescriptors(error),
    }
}
