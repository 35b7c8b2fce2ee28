// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! SIGTERM, SIGINT and SIGHUP end the process in an orderly way.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::events::watch;

/// Notices the signals that ask the process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    receiver: UnixStream,
    /// The number of the signal that came last; 0 before the first.
    number: Arc<AtomicUsize>,
    arrived: Option<u8>,
}

impl Signals {
    /// Takes the signals over from their default, which would end the process at once. A process
    /// that was started to outlive its terminal (`nohup`) goes on ignoring SIGHUP, and one that a
    /// shell's script started in the background goes on ignoring SIGINT.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub(crate) fn new() -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        let number = Arc::new(AtomicUsize::new(0));
        let of_terminals = [SIGINT, SIGHUP].into_iter();
        let wanted = of_terminals.filter(|&signal| !is_ignored(signal));
        for signal in wanted.chain([SIGTERM]) {
            let value = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, number.clone(), value)?;
            pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Self {
            receiver,
            number,
            arrived: None,
        })
    }

    /// The number of the signal that asked the process to end.
    pub(crate) fn arrived(&self) -> Option<u8> {
        self.arrived
    }
}

/// Whether the process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal.saturating_sub(1)).ok();
    mask.zip(bit)
        .and_then(|(mask, bit)| mask.checked_shr(bit))
        .is_some_and(|mask| mask & 1 == 1)
}

impl MutEventSubscriber for Signals {
    fn process(&mut self, _: Events, _: &mut EventOps) {
        let number = self.number.load(Ordering::Relaxed);
        self.arrived = u8::try_from(number).ok();
    }

    fn init(&mut self, ops: &mut EventOps) {
        watch(ops, self.receiver.as_raw_fd(), EventSet::IN);
    }
}
