// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The threads of a run. They end when it does; one that does not is left behind, so that nobody waits
//! for it for ever.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two looks at threads that put back what they changed.
const LOOK: Duration = Duration::from_millis(5);

/// Threads with their names.
#[derive(Debug)]
pub(super) struct Threads {
    started: Vec<Started>,
    /// Every thread has a clone, and drops it last of all.
    alive: Sender<()>,
    ended: Receiver<()>,
}

#[derive(Debug)]
struct Started {
    name: String,
    /// Its work is done, and what it worked with is about to be put back.
    is_done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Threads {
    pub(super) fn new() -> Threads {
        let (alive, ended) = mpsc::channel();
        Threads {
            started: Vec::new(),
            alive,
            ended,
        }
    }

    /// Starts a thread; `name` is what it is called when it does not end. What `work` returns is what
    /// puts something back when it is dropped.
    ///
    /// # Errors
    /// When the process may have no more threads.
    pub(super) fn start<T>(
        &mut self,
        name: String,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<()> {
        self.started.retain(|one| !one.thread.is_finished());
        let alive = self.alive.clone();
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        let thread = thread::Builder::new().spawn(move || {
            let owned = work();
            done.store(true, Ordering::SeqCst);
            drop(owned);
            drop(alive);
        })?;
        self.started.push(Started {
            name,
            is_done,
            thread,
        });
        Ok(())
    }

    /// Waits `grace` for all to do their work, and up to `longer` for those that have, so that they put
    /// back what they changed; the names of those that have not ended.
    pub(super) fn end(self, grace: Duration, longer: Duration) -> Vec<String> {
        drop(self.alive);
        let begin = Instant::now();
        if let Err(RecvTimeoutError::Disconnected) = self.ended.recv_timeout(grace) {
            return Vec::new();
        }
        let mut left = self.started;
        loop {
            left.retain(|one| !one.thread.is_finished());
            let is_late = begin.elapsed() >= longer;
            if is_late || !left.iter().any(|one| one.is_done.load(Ordering::SeqCst)) {
                return left.into_iter().map(|one| one.name).collect();
            }
            thread::sleep(LOOK);
        }
    }
}

/// Does something that may panic; what it says when it does.
pub(super) fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // What it worked on is not used again but to put it away.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| said(&*payload))
}

fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it does not say why").to_owned()
}
