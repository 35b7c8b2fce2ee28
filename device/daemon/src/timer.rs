// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Wakes the device when it has something to do.

use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use vmm_sys_util::timerfd::TimerFd;

use crate::device::Device;
use crate::events::watch;

/// Shortest time that a timer can be set to; 0 would disarm it.
const SHORTEST: Duration = Duration::from_nanos(1);

/// A timer that lets the device catch up.
#[derive(Debug)]
pub(crate) struct Timer {
    timer: TimerFd,
    expires: Option<Instant>,
    device: Rc<RefCell<Device>>,
}

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub(crate) fn new(device: Rc<RefCell<Device>>) -> std::io::Result<Self> {
        Ok(Self {
            timer: TimerFd::new()?,
            expires: None,
            device,
        })
    }

    /// Makes the timer expire `delay` from now, or earlier: one that is set to an earlier time
    /// stays, because an early call only costs a look. Not to be called between the arrival of an
    /// expiry and its processing, which waits for it.
    pub(crate) fn expire_within(&mut self, delay: Option<Duration>) {
        let Some(delay) = delay else {
            return;
        };
        let now = Instant::now();
        let wanted = now.checked_add(delay);
        if self.expires.is_some() && (wanted.is_none() || self.expires <= wanted) {
            return;
        }
        match self.timer.reset(delay.max(SHORTEST), None) {
            Ok(()) => self.expires = wanted,
            Err(error) => log::error!("The timer cannot be set: {error}"),
        }
    }
}

impl MutEventSubscriber for Timer {
    fn process(&mut self, _: Events, _: &mut EventOps) {
        if let Err(error) = self.timer.wait() {
            log::error!("The timer cannot be read: {error}");
        }
        self.expires = None;
        self.device.borrow_mut().catch_up();
    }

    fn init(&mut self, ops: &mut EventOps) {
        watch(ops, self.timer.as_raw_fd(), EventSet::IN);
    }
}
