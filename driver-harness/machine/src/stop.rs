// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Being told to stop while waiting for something else.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::wait;

/// A flag that is raised once and for all, and wakes every wait that knows of it.
///
/// Clones are the same flag. A pipe carries the news, which kernels without networks have, too: its
/// byte is never read, so that all who wait see it, whenever they begin to.
#[derive(Debug, Clone)]
pub struct StopFlag {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    raised: Arc<AtomicBool>,
    reader: PipeReader,
    writer: PipeWriter,
}

impl StopFlag {
    /// A flag that is not raised; fails where the process may open no more files.
    pub fn new() -> io::Result<StopFlag> {
        let (reader, writer) = io::pipe()?;
        Ok(StopFlag {
            shared: Arc::new(Shared {
                raised: Arc::default(),
                reader,
                writer,
            }),
        })
    }

    /// Raises the flag. Later calls change nothing.
    pub fn raise(&self) {
        if !self.shared.raised.swap(true, Ordering::SeqCst) {
            // One byte fits into a pipe that nobody else fills.
            let _ = (&self.shared.writer).write_all(&[1]);
        }
    }

    /// Whether the flag was raised.
    pub fn is_raised(&self) -> bool {
        self.shared.raised.load(Ordering::SeqCst)
    }

    /// Sleeps for `time` or until the flag is raised; returns whether it is.
    pub fn sleep(&self, time: Duration) -> bool {
        // A wait that fails is a short one: whoever sleeps in a loop looks again.
        let _ = self.readable(&[], Some(time));
        self.is_raised()
    }

    /// Waits like [`wait::readable`] for `fds`, and for the flag. Returns whether one of `fds` may be
    /// ready; false once the flag is raised.
    pub fn readable(&self, fds: &[RawFd], timeout: Option<Duration>) -> io::Result<bool> {
        let fds: Vec<_> = fds
            .iter()
            .copied()
            .chain([self.as_fd().as_raw_fd()])
            .collect();
        Ok(!self.is_raised() && wait::readable(&fds, timeout)? && !self.is_raised())
    }

    /// What a signal handler needs: the flag to set, then a pipe's end to write to.
    pub fn for_signals(&self) -> io::Result<(Arc<AtomicBool>, OwnedFd)> {
        let writer = self.shared.writer.try_clone()?;
        Ok((Arc::clone(&self.shared.raised), writer.into()))
    }
}

impl AsFd for StopFlag {
    /// Can be read from the moment when the flag is raised, for ever. Nobody reads it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.reader.as_fd()
    }
}

/// Whether whoever started this program wants it to live through a signal, as `nohup` does, or a shell's script
/// that starts it in the background.
///
/// # Errors
/// When there is no such signal.
pub fn is_ignored(signal: i32) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no action is given, so that nothing changes; the present one is written to `action`.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and has written all of it.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn raising_it_wakes_everybody_whenever_they_wait() {
        let flag = StopFlag::new().unwrap();
        assert!(!flag.sleep(Duration::ZERO) && !flag.is_raised());
        let sleepers: Vec<_> = (0..3)
            .map(|_| {
                let flag = flag.clone();
                thread::spawn(move || {
                    flag.readable(&[], None)
                        .map(|ready| (ready, flag.is_raised()))
                })
            })
            .collect();
        flag.raise();
        flag.raise();
        for sleeper in sleepers {
            assert_eq!(sleeper.join().unwrap().unwrap(), (false, true));
        }
        assert!(flag.sleep(Duration::MAX));
    }

    #[test]
    fn a_descriptor_that_is_ready_ends_the_wait() {
        let flag = StopFlag::new().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&[1]).unwrap();
        assert!(flag.readable(&[reader.as_raw_fd()], None).unwrap());
        flag.raise();
        assert!(!flag.readable(&[reader.as_raw_fd()], None).unwrap());
    }

    #[test]
    fn a_signal_handler_raises_it_by_its_parts() {
        let flag = StopFlag::new().unwrap();
        let (raised, writer) = flag.for_signals().unwrap();
        raised.store(true, Ordering::SeqCst);
        PipeWriter::from(writer).write_all(&[1]).unwrap();
        assert!(flag.sleep(Duration::MAX));
    }

    #[test]
    fn what_is_ignored_is_known_and_what_is_no_signal_refused() {
        // Rust's own start-up has SIGPIPE ignored.
        assert!(is_ignored(libc::SIGPIPE).unwrap());
        assert!(!is_ignored(libc::SIGUSR1).unwrap());
        assert!(is_ignored(9999).is_err());
    }
}
