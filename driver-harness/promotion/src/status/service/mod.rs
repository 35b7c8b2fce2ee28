// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Handing out the status: sockets and files, by a thread that the engine never waits for.
//!
//! The engine notes events on a [`Board`], which takes a lock for as long as that lasts. The thread copies
//! a status from it ten times a second at most, whoever asks how often, and does all else without the
//! lock: nothing that a client does, or does not do, holds the engine up.

use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chmu_machine::stop::StopFlag;
use rustix::event::{PollFd, PollFlags};

use super::Status;
use answers::Speech;
use crowd::Crowd;
use socket_file::SocketFile;

mod answers;
mod ask;
mod board;
mod connection;
mod crowd;
mod metrics_file;
mod socket_file;
#[cfg(test)]
mod tests;

pub use ask::{AskError, ask};
use board::Copies;
pub use board::{Board, Time};
pub use metrics_file::{MetricsFile, MetricsFileError};
pub use socket_file::BindError;

/// After a failure nothing is tried for so long.
const REST: Duration = Duration::from_millis(100);

/// Something that is done again and again.
pub struct Chore {
    every: Duration,
    action: Box<dyn FnMut(&Status) + Send>,
    due: Instant,
}

impl Chore {
    /// Does something at once, and then after each `every`; a last time when the server ends.
    pub fn new(every: Duration, action: impl FnMut(&Status) + Send + 'static) -> Chore {
        Chore {
            every,
            action: Box::new(action),
            due: Instant::now(),
        }
    }

    fn run(&mut self, now: Instant, status: &Status) {
        (self.action)(status);
        self.due = now + self.every;
    }
}

impl std::fmt::Debug for Chore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut printed = f.debug_struct("Chore");
        printed.field("every", &self.every).finish_non_exhaustive()
    }
}

/// Where the status is to be had.
#[derive(Debug, Default)]
pub struct Sites {
    /// A socket for requests of a JSON line each.
    pub status: Option<PathBuf>,
    /// A socket for Prometheus, which asks by HTTP.
    pub metrics: Option<PathBuf>,
    /// What else is done with it.
    pub chores: Vec<Chore>,
}

/// Hands the status out until it is dropped; its sockets' names go with it.
#[derive(Debug)]
pub struct Server {
    stop: StopFlag,
    thread: Option<JoinHandle<()>>,
    _files: Vec<SocketFile>,
}

/// A server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No thread or pipe can be had.
    #[error("Cannot start to hand out the status")]
    Thread(#[from] io::Error),
}

impl Server {
    /// Opens the sockets and starts the thread.
    ///
    /// # Errors
    /// When a socket's name is taken or cannot be made, or the process may have no more threads or files.
    pub fn start(sites: Sites, board: Board) -> Result<Server, StartError> {
        let mut files = Vec::new();
        let mut crowds = Vec::new();
        for (path, speech) in [(sites.status, Speech::Lines), (sites.metrics, Speech::Http)] {
            if let Some(path) = path {
                let (listener, file) = SocketFile::bind(&path)?;
                files.push(file);
                crowds.push(Crowd::new(listener, speech)?);
            }
        }
        let stop = StopFlag::new()?;
        let mut work = Work {
            copies: Copies::of(board),
            crowds,
            chores: sites.chores,
            stop: stop.clone(),
        };
        let thread = thread::Builder::new().name("status".to_owned());
        let thread = thread.spawn(move || work.run())?;
        Ok(Server {
            stop,
            thread: Some(thread),
            _files: files,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.raise();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
#[derive(Debug)]
struct Work {
    copies: Copies,
    crowds: Vec<Crowd>,
    chores: Vec<Chore>,
    stop: StopFlag,
}

impl Work {
    fn run(&mut self) {
        while !self.stop.is_raised() {
            self.do_chores();
            if let Err(error) = self.serve() {
                log::debug!("The status cannot be handed out at the moment: {error}");
                self.stop.sleep(REST);
            }
        }
        // What is over is seen as over.
        let status = self.copies.newest();
        for chore in &mut self.chores {
            (chore.action)(status);
        }
    }

    fn do_chores(&mut self) {
        let now = Instant::now();
        if self.chores.iter().all(|chore| chore.due > now) {
            return;
        }
        let status = self.copies.newest();
        for chore in self.chores.iter_mut().filter(|chore| chore.due <= now) {
            chore.run(now, status);
        }
    }

    /// Waits until somebody wants something or a chore is due, and answers who can be answered.
    fn serve(&mut self) -> io::Result<()> {
        let next = self.chores.iter().map(|chore| chore.due).min();
        let wait = next.map(|due| due.saturating_duration_since(Instant::now()));
        let mut polled = vec![PollFd::new(&self.stop, PollFlags::IN)];
        for crowd in &self.crowds {
            crowd.watch(&mut polled);
        }
        // Rounded up, so that nobody looks in vain.
        let timeout = wait.map(|wait| (wait + Duration::from_millis(1)).try_into());
        let timeout = timeout.transpose().unwrap_or(None);
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = polled[1..]
            .iter()
            .map(|fd| !fd.revents().is_empty())
            .collect();
        let mut ready = &ready[..];
        for crowd in &mut self.crowds {
            let (own, rest) = ready.split_at(crowd.watched().min(ready.len()));
            ready = rest;
            crowd.serve(own, &mut self.copies)?;
        }
        Ok(())
    }
}
