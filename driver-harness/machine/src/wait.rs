// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Waiting for file descriptors.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// Waits until one of `fds` can be read or is closed by its other end; negative numbers are
/// skipped. Returns whether one is ready; without `timeout` it waits for ever, and a signal may end
/// the wait early.
pub fn readable(fds: &[RawFd], timeout: Option<Duration>) -> io::Result<bool> {
    let mut polled: Vec<_> = fds
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // Rounded up, so that a wait never ends before its time.
    let timeout_ms = timeout.map_or(-1, |timeout| {
        i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    let count = polled.len() as libc::nfds_t;
    // SAFETY: `polled` holds `count` initialised entries and outlives the call.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) };
    if ready >= 0 {
        return Ok(ready > 0);
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(false),
        _ => Err(error),
    }
}
