// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! SIGTERM and SIGINT end the process in an orderly way.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::events::watch;

/// Notices the signals that ask the process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    receiver: UnixStream,
    arrived: bool,
}

impl Signals {
    /// Takes the signals over from their default, which would end the process at once.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub(crate) fn new() -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        pipe::register(SIGTERM, sender.try_clone()?)?;
        pipe::register(SIGINT, sender)?;
        Ok(Self {
            receiver,
            arrived: false,
        })
    }

    /// Whether the process was asked to end.
    pub(crate) fn arrived(&self) -> bool {
        self.arrived
    }
}

impl MutEventSubscriber for Signals {
    fn process(&mut self, _: Events, _: &mut EventOps) {
        self.arrived = true;
    }

    fn init(&mut self, ops: &mut EventOps) {
        watch(ops, self.receiver.as_raw_fd(), EventSet::IN);
    }
}
