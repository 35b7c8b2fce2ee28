// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Processes that never outlive the lab.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::command_line::CommandLine;

/// A process that was asked to end gets this long before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A running process; at the end it goes with everything that it has started.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    id: Pid,
    process: OwnedFd,
    has_own_group: bool,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a process in its own group, with both outputs in the file `log`.
    ///
    /// It is killed when the calling thread ends, so that thread must be the one that uses it.
    pub(super) fn start(name: &str, command: &CommandLine, log: &Path) -> Result<Self> {
        let log = File::create(log)
            .with_context(|| format!("Cannot make the log file {}", log.display()))?;
        let errors = log.try_clone()?;
        let mut prepared = command.command();
        prepared.stdin(Stdio::null()).stdout(log).stderr(errors);
        prepared.process_group(0);
        Self::spawn(name, prepared, true)
    }

    /// Starts a process on the user's terminal. It stays in the lab's group: another group's
    /// processes may not read from the terminal.
    pub(super) fn start_on_terminal(name: &str, command: &CommandLine) -> Result<Self> {
        Self::spawn(name, command.command(), false)
    }

    fn spawn(name: &str, mut command: Command, has_own_group: bool) -> Result<Self> {
        end_with_parent(&mut command);
        let mut child = command
            .spawn()
            .with_context(|| format!("Cannot start {}", command.get_program().display()))?;
        let id = Pid::from_child(&child);
        let process = match rustix::process::pidfd_open(id, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error).with_context(|| format!("Cannot watch {name}"));
            }
        };
        Ok(Self {
            name: name.to_owned(),
            child,
            id,
            process,
            has_own_group,
            status: None,
        })
    }

    /// What it is, as in "the device".
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Processor time of the threads that it has now (`schedstat` in Documentation/scheduler/sched-stats.rst).
    pub(super) fn processor_seconds(&self) -> Result<f64> {
        let tasks = format!("/proc/{}/task", self.id.as_raw_nonzero());
        let mut nanoseconds = 0_u64;
        for thread in fs::read_dir(tasks)? {
            // A thread may end while they are listed.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            let word = text.split(' ').next().unwrap_or_default();
            nanoseconds += word.parse::<u64>().context("schedstat has no number")?;
        }
        Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
    }

    /// Ends it: first politely, then not. Returns how it ended.
    pub(super) fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        self.send(Signal::TERM);
        self.has_ended(END_TIMEOUT)?;
        self.reap()
    }

    fn has_ended(&self, timeout: Duration) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.process, PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).ok();
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills what is left of the group while the process id still stands for it, then collects.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        self.send(Signal::KILL);
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }

    /// A process that is gone already needs no signal, so errors say nothing.
    fn send(&self, signal: Signal) {
        let _ = if self.has_own_group {
            rustix::process::kill_process_group(self.id, signal)
        } else {
            rustix::process::kill_process(self.id, signal)
        };
    }
}

/// Readable once the process has ended.
impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log::error!("Cannot end {}: {error}", self.name);
        }
    }
}

/// Has the kernel kill the process when its parent ends, however that happens.
fn end_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the request.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::ErrorKind::NotConnected.into())
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls and neither allocates nor
    // takes a lock.
    unsafe { command.pre_exec(prepare) };
}

#[cfg(test)]
mod tests;
