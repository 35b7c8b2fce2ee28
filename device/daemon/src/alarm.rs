// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A moment at which the event loop comes back.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use vmm_sys_util::timerfd::TimerFd;

/// Shortest time that a timer can be set to; 0 would stop it.
const SHORTEST: Duration = Duration::from_nanos(1);

/// Its descriptor becomes readable at the moment that was set last. It is never read, which could
/// wait for a moment that was set anew meanwhile: setting it makes it unreadable, too.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: TimerFd,
    at: Option<Instant>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = TimerFd::new()?;
        Ok(Self { timer, at: None })
    }

    /// Sets the alarm, or stops it.
    pub(crate) fn set(&mut self, at: Option<Instant>) {
        if self.at == at {
            return;
        }
        let set = match at {
            Some(at) => {
                let delay = at.saturating_duration_since(Instant::now());
                self.timer.reset(delay.max(SHORTEST), None)
            }
            None => self.timer.clear(),
        };
        match set {
            Ok(()) => self.at = at,
            Err(error) => log::error!("A timer cannot be set: {error}"),
        }
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}
