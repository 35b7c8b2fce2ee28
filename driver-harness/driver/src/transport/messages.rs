// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupt messages that arrive as events.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use chmu_machine::wait;
use vmm_sys_util::eventfd::EventFd;

use super::TransportError;

/// A CHMU instance names its message in four bits, so no higher one is ever waited for.
const MESSAGES_MAX: u32 = 16;

/// An event for each interrupt message, from message 0 on.
#[derive(Debug, Default)]
pub(super) struct Messages(Vec<EventFd>);

impl Messages {
    /// Events for as many of the `available` messages as a CHMU can name.
    pub(super) fn new(available: u32) -> io::Result<Messages> {
        let flags = libc::EFD_NONBLOCK | libc::EFD_CLOEXEC;
        let events = (0..available.min(MESSAGES_MAX)).map(|_| EventFd::new(flags));
        events.collect::<io::Result<_>>().map(Messages)
    }

    pub(super) fn events(&self) -> &[EventFd] {
        &self.0
    }

    pub(super) fn count(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX)
    }

    /// Gives up the upper half: functions have their messages in powers of two.
    pub(super) fn halve(&mut self) {
        self.0.truncate(self.0.len() / 2);
    }

    /// Whether a message has come since it was last asked for.
    pub(super) fn take(&self, message: u16) -> bool {
        let event = self.0.get(usize::from(message));
        event.is_some_and(|event| event.read().is_ok())
    }

    /// The descriptor of a message's event.
    pub(super) fn descriptor(&self, message: u16) -> Option<BorrowedFd<'_>> {
        let event = self.0.get(usize::from(message))?;
        // SAFETY: the descriptor is open as long as `event`, which `self` owns.
        Some(unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) })
    }

    /// Waits for a message of `device`; how many came since the last call.
    pub(super) fn wait(
        &self,
        device: &str,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        let event =
            self.0
                .get(usize::from(message))
                .ok_or_else(|| TransportError::NoInterrupt {
                    device: device.to_owned(),
                    message,
                    available: self.count(),
                })?;
        let count =
            wait::readable(&[event.as_raw_fd()], Some(timeout)).and_then(|ready| match ready {
                true => event.read().map(Some),
                false => Ok(None),
            });
        count.map_err(|source| TransportError::Interrupt { message, source })
    }
}
