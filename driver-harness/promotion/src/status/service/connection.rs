// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One connection: what it asked so far, and what it has not read yet.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::answers::{Answer, Speech};
use super::board::Copies;

/// No request is longer, headers included.
const REQUEST_BYTES_MAX: usize = 8192;

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    /// The answer that is not read yet; nothing is read before it is.
    output: Vec<u8>,
    written: usize,
    is_last: bool,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Connection {
        Connection {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            is_last: false,
        }
    }

    /// Whether it goes on as soon as something can be written: an answer, or one to what was asked
    /// already.
    pub(super) fn waits_for_room(&self, speech: Speech) -> bool {
        self.is_unread() || speech.end_of_request(&self.input).is_some()
    }

    /// Whether there is an answer, or a part of it, that the other end has not read.
    fn is_unread(&self) -> bool {
        self.written < self.output.len()
    }

    /// Goes on as far as it can without waiting; whether there is more to come.
    pub(super) fn proceed(&mut self, speech: Speech, copies: &mut Copies) -> bool {
        match self.try_to_proceed(speech, copies) {
            Ok(goes_on) => goes_on,
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    fn try_to_proceed(&mut self, speech: Speech, copies: &mut Copies) -> io::Result<bool> {
        if self.is_unread() {
            self.write()?;
            return Ok(self.is_unread() || !self.is_last);
        }
        if speech.end_of_request(&self.input).is_none() {
            let mut bytes = [0; 1024];
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Ok(false);
            }
            self.input.extend_from_slice(&bytes[..count]);
        }
        // One answer at a turn, so that nobody who asks much has all turns.
        let Some(end) = speech.end_of_request(&self.input) else {
            return match self.input.len() > REQUEST_BYTES_MAX {
                true => self.answer(speech.too_long()),
                false => Ok(true),
            };
        };
        let request: Vec<u8> = self.input.drain(..end).collect();
        self.answer(speech.answer(&request, copies))
    }

    fn answer(&mut self, answer: Answer) -> io::Result<bool> {
        self.output = answer.bytes;
        self.written = 0;
        self.is_last = answer.is_last;
        self.write()?;
        Ok(self.is_unread() || !self.is_last)
    }

    fn write(&mut self) -> io::Result<()> {
        self.written += self.stream.write(&self.output[self.written..])?;
        if !self.is_unread() {
            self.output = Vec::new();
            self.written = 0;
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
