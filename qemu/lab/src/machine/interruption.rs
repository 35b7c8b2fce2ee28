// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ctrl-C while a machine runs: whoever waits for the machine notices, and the way out cleans up.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chmu_machine::stop::is_ignored;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{
    register, register_conditional_default, register_conditional_shutdown, register_usize,
};

const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// What the user's shell expects of a program that a signal ended.
const EXIT_CODE_BASE: i32 = 128;

/// The user has asked the lab to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Interrupted")]
pub struct Interrupted {
    signal: i32,
}

impl Interrupted {
    /// 130 for SIGINT, 143 for SIGTERM and 129 for SIGHUP, as a shell has it for a program that the
    /// signal ended.
    pub fn exit_code(self) -> u8 {
        u8::try_from(EXIT_CODE_BASE + self.signal).unwrap_or(u8::MAX)
    }
}

/// Handlers stay installed once they are, so there is one set for the whole process.
static HANDLERS: Mutex<Option<Handlers>> = Mutex::new(None);

struct Handlers {
    /// Readable from the first signal on.
    arrived: UnixStream,
    /// The signal that arrived, 0 before.
    signal: Arc<AtomicUsize>,
    /// While set, signals do what they do without handlers.
    nothing_to_clean: Arc<AtomicBool>,
    guards: usize,
}

/// While one exists, the first signal does not end the process; the second does.
#[derive(Debug)]
pub(super) struct Interruption {
    arrived: UnixStream,
    signal: Arc<AtomicUsize>,
}

impl Interruption {
    pub(super) fn watch() -> io::Result<Self> {
        let mut handlers = lock();
        let handlers = match handlers.as_mut() {
            Some(handlers) => handlers,
            None => handlers.insert(install()?),
        };
        let arrived = handlers.arrived.try_clone()?;
        handlers.guards += 1;
        handlers.nothing_to_clean.store(false, Ordering::SeqCst);
        let signal = Arc::clone(&handlers.signal);
        Ok(Self { arrived, signal })
    }

    /// What to say, once it can be read.
    pub(super) fn arrived(&self) -> Interrupted {
        let signal = i32::try_from(self.signal.load(Ordering::SeqCst)).unwrap_or_default();
        Interrupted { signal }
    }
}

/// Readable once the user has asked the lab to end.
impl AsFd for Interruption {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        if let Some(handlers) = lock().as_mut() {
            handlers.guards = handlers.guards.saturating_sub(1);
            let nothing_left = handlers.guards == 0;
            handlers
                .nothing_to_clean
                .store(nothing_left, Ordering::SeqCst);
        }
    }
}

fn lock() -> MutexGuard<'static, Option<Handlers>> {
    HANDLERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install() -> io::Result<Handlers> {
    let (arrived, notify) = UnixStream::pair()?;
    let nothing_to_clean = Arc::new(AtomicBool::new(true));
    let seen = Arc::new(AtomicBool::new(false));
    let which = Arc::new(AtomicUsize::new(0));
    for signal in SIGNALS {
        if signal != SIGTERM && is_ignored(signal)? {
            continue;
        }
        let number = usize::try_from(signal).map_err(io::Error::other)?;
        // In this order: a signal that does its usual work goes no further, and the second one
        // finds the flag of the first.
        register_conditional_default(signal, Arc::clone(&nothing_to_clean))?;
        register_conditional_shutdown(signal, EXIT_CODE_BASE + signal, Arc::clone(&seen))?;
        register(signal, Arc::clone(&seen))?;
        register_usize(signal, Arc::clone(&which), number)?;
        signal_hook::low_level::pipe::register(signal, notify.try_clone()?)?;
    }
    Ok(Handlers {
        arrived,
        signal: which,
        nothing_to_clean,
        guards: 0,
    })
}
