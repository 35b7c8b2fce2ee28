// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Being told to start and to stop.

use std::io::{self, PipeReader, Read};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level};

/// Whoever waits for something else looks for a signal to stop this often.
pub(super) const NOTICE: Duration = Duration::from_millis(100);

/// From its creation on no SIGTERM, SIGINT or SIGUSR1 ends the process.
///
/// A pipe wakes who sleeps: kernels without networks have pipes, too.
#[derive(Debug)]
pub(super) struct Signals {
    stop: Arc<AtomicBool>,
    start: Arc<AtomicBool>,
    wake: PipeReader,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Signals> {
        let (stop, start) = (Arc::default(), Arc::default());
        let (wake, waker) = io::pipe()?;
        for (signal, set) in [(SIGTERM, &stop), (SIGINT, &stop), (SIGUSR1, &start)] {
            flag::register(signal, Arc::clone(set))?;
            // The flag is set before the pipe wakes anybody: actions run in this order.
            low_level::pipe::register_raw(signal, waker.try_clone()?.into_raw_fd())?;
        }
        Ok(Signals { stop, start, wake })
    }

    /// SIGTERM or SIGINT came.
    pub(super) fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps until SIGUSR1, or until there is nothing left to start for.
    pub(super) fn wait_for_start(&mut self) -> io::Result<()> {
        while !self.stop() && !self.start.load(Ordering::Relaxed) {
            self.sleep()?;
        }
        Ok(())
    }

    /// Sleeps until SIGTERM or SIGINT.
    pub(super) fn wait_for_stop(&mut self) -> io::Result<()> {
        while !self.stop() {
            self.sleep()?;
        }
        Ok(())
    }

    /// Sleeps until a signal comes, or returns for one that came before.
    fn sleep(&mut self) -> io::Result<()> {
        match self.wake.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}
