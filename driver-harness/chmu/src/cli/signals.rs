// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Being told to start and to stop.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chmu_machine::stop::{StopFlag, is_ignored};
use chmu_machine::wait;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::{flag, low_level};

/// Whoever waits for something that no descriptor tells of looks for a signal this often.
pub(super) const NOTICE: Duration = Duration::from_millis(100);

/// From its creation on no SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 or SIGUSR2 ends the process. An inherited
/// ignore of SIGINT, SIGHUP or SIGQUIT stays.
///
/// A pipe wakes who sleeps: kernels without networks have pipes, too.
#[derive(Debug)]
pub(super) struct Signals {
    stop: StopFlag,
    start: Arc<AtomicBool>,
    /// Somebody wants a look at the workload's pages.
    check: Arc<AtomicBool>,
    /// Told something: to start, or to look.
    told: PipeReader,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Signals> {
        let stop = StopFlag::new()?;
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
            // A program behind nohup outlives its terminal, and a script's in the background its Ctrl-C.
            if signal != SIGTERM && is_ignored(signal)? {
                continue;
            }
            let (raised, waker) = stop.for_signals()?;
            // The flag is set before the pipe wakes anybody: actions run in this order.
            flag::register(signal, raised)?;
            low_level::pipe::register_raw(signal, waker.into_raw_fd())?;
        }
        let start = Arc::default();
        let check = Arc::default();
        let (told, waker) = io::pipe()?;
        for (signal, flag) in [(SIGUSR1, &start), (SIGUSR2, &check)] {
            flag::register(signal, Arc::clone(flag))?;
            low_level::pipe::register_raw(signal, waker.try_clone()?.into_raw_fd())?;
        }
        Ok(Signals {
            stop,
            start,
            check,
            told,
        })
    }

    /// Raised by SIGTERM, SIGINT, SIGHUP and SIGQUIT.
    pub(super) fn stop(&self) -> &StopFlag {
        &self.stop
    }

    /// Sleeps until SIGUSR1, or until there is nothing left to start for.
    pub(super) fn wait_for_start(&self) -> io::Result<()> {
        while !self.stop.is_raised() && !self.take_start() {
            self.sleep(None)?;
        }
        Ok(())
    }

    /// Sleeps until it is time to stop.
    pub(super) fn wait_for_stop(&self) -> io::Result<()> {
        while !self.stop.is_raised() {
            self.sleep(None)?;
        }
        Ok(())
    }

    /// Sleeps until it is time to stop, or until SIGUSR2 asks for a look.
    pub(super) fn wait_for_stop_or_check(&self) -> io::Result<()> {
        while !self.stop.is_raised() && !self.check.load(Ordering::Relaxed) {
            self.sleep(None)?;
        }
        Ok(())
    }

    /// Whether SIGUSR1 has come since the last time that this was asked, or since the start.
    pub(super) fn take_start(&self) -> bool {
        self.start.swap(false, Ordering::Relaxed)
    }

    /// Whether SIGUSR2 has come since the last time that this was asked.
    pub(super) fn take_check(&self) -> bool {
        self.check.swap(false, Ordering::Relaxed)
    }

    /// Sleeps until a signal comes, at most for this time.
    pub(super) fn sleep(&self, time: Option<Duration>) -> io::Result<()> {
        let told = [self.told.as_raw_fd()];
        self.stop.readable(&told, time)?;
        // What has been read does not wake again.
        if wait::readable(&told, Some(Duration::ZERO))? {
            let _ = (&self.told).read(&mut [0; 64])?;
        }
        Ok(())
    }
}
