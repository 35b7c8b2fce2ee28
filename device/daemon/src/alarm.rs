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

    /// Sets the alarm to `at` unless it is set to an earlier moment, as is cheaper where coming
    /// back too early costs no more than a look.
    pub(crate) fn set_by(&mut self, at: Instant) {
        if self.at.is_none_or(|set| at < set) {
            self.set(Some(at));
        }
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    const FAR: Duration = Duration::from_secs(3600);

    /// Whether the alarm rings; one that is set soon is waited for.
    fn rings(alarm: &Alarm) -> bool {
        // SAFETY: the alarm keeps its descriptor open.
        let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(alarm.as_raw_fd()) };
        let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        let is_soon = alarm.at.is_some_and(|at| at < Instant::now() + FAR / 2);
        let at_once = Timespec::default();
        poll(&mut polled, Some(&at_once).filter(|_| !is_soon)).unwrap() == 1
    }

    #[test]
    fn an_alarm_rings_until_it_is_set_anew() {
        let mut alarm = Alarm::new().unwrap();
        assert!(!rings(&alarm));
        alarm.set(Some(Instant::now()));
        assert!(rings(&alarm) && rings(&alarm));
        alarm.set(Some(Instant::now() + FAR));
        assert!(!rings(&alarm));
        alarm.set(Some(Instant::now()));
        assert!(rings(&alarm));
        alarm.set(None);
        assert!(!rings(&alarm));
    }

    #[test]
    fn an_earlier_moment_stays() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set_by(Instant::now() + FAR);
        assert!(!rings(&alarm));
        alarm.set_by(Instant::now());
        alarm.set_by(Instant::now() + FAR);
        assert!(rings(&alarm));
    }
}
