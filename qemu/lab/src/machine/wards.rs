// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The processes of a machine, watched together.

use std::io;
use std::os::fd::BorrowedFd;
use std::process::ExitStatus;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::interruption::{Interrupted, Interruption};
use super::process::Process;

/// Running processes; the last that was added ends first.
#[derive(Debug)]
pub(super) struct Wards {
    processes: Vec<Process>,
    interruption: Interruption,
}

/// Why a wait is over.
#[derive(Debug)]
pub(super) enum Wake {
    /// What was waited for can be read or has been closed.
    Ready,
    /// A process ended.
    Ended { name: String, status: ExitStatus },
    /// The user wants to stop.
    Interrupted(Interrupted),
    /// The time is up.
    TimedOut,
}

impl Wards {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            processes: Vec::new(),
            interruption: Interruption::watch()?,
        })
    }

    pub(super) fn add(&mut self, process: Process) {
        self.processes.push(process);
    }

    /// Processor time of a process's threads.
    pub(super) fn processor_seconds(&self, name: &str) -> Result<f64> {
        let found = self.processes.iter().find(|one| one.name() == name);
        let process = found.with_context(|| format!("{name} does not run"))?;
        let seconds = process.processor_seconds();
        seconds.with_context(|| format!("Cannot see how long {name} has run"))
    }

    /// Waits for `source`, for the end of a process, for the user, and for the deadline if there is
    /// one. A process that ended leaves the wards.
    pub(super) fn wait(
        &mut self,
        source: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> io::Result<Wake> {
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut polled = vec![PollFd::new(&self.interruption, PollFlags::IN)];
            polled.extend(
                self.processes
                    .iter()
                    .map(|process| PollFd::new(process, PollFlags::IN)),
            );
            polled.extend(source.map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN)));
            match rustix::event::poll(&mut polled, left.as_ref()) {
                Ok(0) => return Ok(Wake::TimedOut),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let ready: Vec<_> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
            let (interrupted, processes) = (ready[0], &ready[1..=self.processes.len()]);
            if interrupted {
                return Ok(Wake::Interrupted(self.interruption.arrived()));
            }
            let ended = processes.iter().position(|ended| *ended);
            // What a process said before it ended comes first.
            if source.is_some() && ready.last() == Some(&true) {
                return Ok(Wake::Ready);
            }
            if let Some(index) = ended {
                let mut process = self.processes.remove(index);
                let status = process.end()?;
                let name = process.name().to_owned();
                return Ok(Wake::Ended { name, status });
            }
        }
    }

    /// Ends all processes, the last first. Returns how each ended.
    pub(super) fn end(&mut self) -> io::Result<Vec<(String, ExitStatus)>> {
        let mut ended = Vec::new();
        while let Some(mut process) = self.processes.pop() {
            ended.push((process.name().to_owned(), process.end()?));
        }
        Ok(ended)
    }
}

impl Drop for Wards {
    fn drop(&mut self) {
        while let Some(process) = self.processes.pop() {
            drop(process);
        }
    }
}
