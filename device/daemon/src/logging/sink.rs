// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where lines go that must not hold the device up.
//!
//! The descriptor may be a pipe that nobody reads, a terminal that is stopped, or a full disk, and
//! other processes may share it. So it is never made non-blocking, which would change it for all
//! of them: a pipe or a device is opened once more for this process alone, a socket is sent to
//! without waiting.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, send};

/// A destination of whole lines. A line that cannot be written at once is dropped and counted, and
/// the next line that finds room is preceded by the count.
#[derive(Debug)]
pub(crate) struct Sink {
    output: Output,
    dropped: u64,
    /// The last line was cut, and its rest dropped.
    is_torn: bool,
}

/// How to write without waiting.
#[derive(Debug)]
enum Output {
    /// A file that never makes a writer wait: a regular one, or one opened as non-blocking.
    File(File),
    /// A socket, sent to without waiting.
    Socket(OwnedFd),
    /// What can only be asked for room beforehand.
    Polled(File),
    /// The standard error itself, asked beforehand too, where there is no descriptor for another.
    StandardError,
}

impl Sink {
    /// Lines go to the standard error, even when the process has no descriptor left.
    pub(crate) fn standard_error() -> Self {
        let own = io::stderr().as_fd().try_clone_to_owned();
        let output = own.and_then(Output::of);
        Self::new(output.unwrap_or(Output::StandardError))
    }

    /// Lines go to the end of the file at `path`, which is made if need be. A named pipe must have
    /// a reader.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn append_to(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Self::new(Output::File(file)))
    }

    fn new(output: Output) -> Self {
        Self {
            output,
            dropped: 0,
            is_torn: false,
        }
    }

    /// Writes a line, which ends with a line feed, or drops it.
    pub(crate) fn put(&mut self, line: &[u8]) {
        if self.dropped == 0 && !self.is_torn {
            return self.put_all(line, 0);
        }
        let start = if self.is_torn { "\n" } else { "" };
        let dropped = self.dropped;
        let notice = format!("{start}[{dropped} lines were dropped here: nobody took them]\n");
        let text = [notice.as_bytes(), line].concat();
        self.put_all(&text, notice.len());
    }

    /// Writes a text whose first `notice_bytes` say what was dropped before.
    fn put_all(&mut self, text: &[u8], notice_bytes: usize) {
        let written = self.output.write(text);
        if written >= notice_bytes && written > 0 {
            self.dropped = 0;
        }
        if written > 0 {
            self.is_torn = written < text.len();
        }
        if written < text.len() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

impl Output {
    fn of(descriptor: OwnedFd) -> io::Result<Self> {
        let file = File::from(descriptor);
        let kind = file.metadata()?.file_type();
        if kind.is_socket() {
            return Ok(Self::Socket(file.into()));
        }
        if !kind.is_fifo() && !kind.is_char_device() {
            return Ok(Self::File(file));
        }
        // Another open file of the same pipe or device, with flags of its own.
        let own = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(own.map_or(Self::Polled(file), Self::File))
    }

    /// Writes as much as finds room at once; returns how many bytes that was.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest @ [_, ..]) = bytes.get(written..) {
            let count = match self {
                Self::File(file) => file.write(rest),
                Self::Socket(socket) => {
                    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                    send(socket, rest, flags).map_err(io::Error::from)
                }
                Self::Polled(file) => write_if_ready(file, rest),
                Self::StandardError => write_if_ready(io::stderr(), rest),
            };
            match count {
                Ok(count) if count > 0 => written = written.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        written
    }
}

/// Writes what surely finds room, if there is room for it. Another process that fills the
/// descriptor between the two calls makes this one wait.
fn write_if_ready(descriptor: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let mut request = [PollFd::new(&descriptor, PollFlags::OUT)];
    let ready = poll(&mut request, Some(&Timespec::default()))?;
    if ready == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // A pipe that is ready has room for as many.
    let piece = bytes.get(..libc::PIPE_BUF).unwrap_or(bytes);
    Ok(rustix::io::write(descriptor, piece)?)
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
