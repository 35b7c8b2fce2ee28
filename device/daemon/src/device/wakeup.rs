// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Has the device catch up when it has something to do.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Instant;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::Device;
use crate::alarm::Alarm;
use crate::events::watch;

/// The device's own alarm.
#[derive(Debug)]
pub(crate) struct Wakeup {
    alarm: Alarm,
    device: Rc<RefCell<Device>>,
}

impl Wakeup {
    /// An alarm of `device` that is not set.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub(crate) fn new(device: Rc<RefCell<Device>>) -> io::Result<Self> {
        let alarm = Alarm::new()?;
        Ok(Self { alarm, device })
    }

    /// Makes sure that the device is not left alone for longer than it may be.
    pub(crate) fn prepare(&mut self) {
        let delay = self.device.borrow().next_wakeup();
        if let Some(at) = delay.and_then(|delay| Instant::now().checked_add(delay)) {
            self.alarm.set_by(at);
        }
    }
}

impl MutEventSubscriber for Wakeup {
    fn process(&mut self, _: Events, _: &mut EventOps) {
        self.alarm.set(None);
        self.device.borrow_mut().catch_up();
    }

    fn init(&mut self, ops: &mut EventOps) {
        watch(ops, self.alarm.as_raw_fd(), EventSet::IN);
    }
}
