// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Being told to start and to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator;

/// Whoever waits for something else looks for a signal to stop this often.
pub(super) const NOTICE: Duration = Duration::from_millis(100);

/// From its creation on no SIGTERM, SIGINT or SIGUSR1 ends the process.
#[derive(Debug)]
pub(super) struct Signals {
    stop: Arc<AtomicBool>,
    queue: iterator::Signals,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Signals> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let queue = iterator::Signals::new([SIGTERM, SIGINT, SIGUSR1])?;
        Ok(Signals { stop, queue })
    }

    /// SIGTERM or SIGINT came.
    pub(super) fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps until SIGUSR1, or until there is nothing left to start for.
    pub(super) fn wait_for_start(&mut self) {
        let mut signals = self.queue.forever();
        signals.find(|&signal| signal == SIGUSR1 || signal == SIGTERM || signal == SIGINT);
    }

    /// Sleeps until SIGTERM or SIGINT.
    pub(super) fn wait_for_stop(&mut self) {
        if !self.stop() {
            let mut signals = self.queue.forever();
            signals.find(|&signal| signal == SIGTERM || signal == SIGINT);
        }
    }
}
