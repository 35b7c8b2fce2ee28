// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Being told to start and to stop.

use std::io::{self, PipeReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chmu_machine::stop::StopFlag;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level};

/// Whoever waits for something that no descriptor tells of looks for a signal this often.
pub(super) const NOTICE: Duration = Duration::from_millis(100);

/// From its creation on no SIGTERM, SIGINT, SIGHUP or SIGUSR1 ends the process.
///
/// A pipe wakes who sleeps: kernels without networks have pipes, too.
#[derive(Debug)]
pub(super) struct Signals {
    stop: StopFlag,
    start: Arc<AtomicBool>,
    started: PipeReader,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Signals> {
        let stop = StopFlag::new()?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            // A program behind nohup outlives its terminal.
            if signal == SIGHUP && is_ignored(signal)? {
                continue;
            }
            let (raised, waker) = stop.for_signals()?;
            // The flag is set before the pipe wakes anybody: actions run in this order.
            flag::register(signal, raised)?;
            low_level::pipe::register_raw(signal, waker.into_raw_fd())?;
        }
        let start = Arc::default();
        let (started, waker) = io::pipe()?;
        flag::register(SIGUSR1, Arc::clone(&start))?;
        low_level::pipe::register_raw(SIGUSR1, waker.into_raw_fd())?;
        Ok(Signals {
            stop,
            start,
            started,
        })
    }

    /// Raised by SIGTERM, SIGINT and SIGHUP.
    pub(super) fn stop(&self) -> &StopFlag {
        &self.stop
    }

    /// Sleeps until SIGUSR1, or until there is nothing left to start for.
    pub(super) fn wait_for_start(&self) -> io::Result<()> {
        while !self.stop.is_raised() && !self.start.load(Ordering::Relaxed) {
            self.stop.readable(&[self.started.as_raw_fd()], None)?;
        }
        Ok(())
    }

    /// Sleeps until it is time to stop.
    pub(super) fn wait_for_stop(&self) -> io::Result<()> {
        while !self.stop.is_raised() {
            self.stop.readable(&[], None)?;
        }
        Ok(())
    }
}

/// Whether whoever started this program wants it to live through a signal.
fn is_ignored(signal: i32) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no action is given, so that nothing changes; the present one is written to `action`.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and has written all of it.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}
