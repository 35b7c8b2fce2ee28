// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One run: a folder, and processes that are watched while the lab waits.

use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::command_line::CommandLine;
use super::crash::{CrashWatch, crash_text};
use super::failure::{Cause, Failure, LogEnd, SHOWN_LINES};
use super::launch::{CONSOLE_LOG, Launch};
use super::listening::all_listen;
use super::process::Process;
use super::run_folder::RunFolder;
use super::wards::{Wake, Wards};

/// A device listens within milliseconds; a busy machine may take longer.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(30);
/// The kernel has nothing to wait on for a new socket, so the list is read this often.
const LISTEN_INTERVAL: Duration = Duration::from_millis(5);

/// Exit code of a program that tells by it that SIGTERM ended it.
const ENDED_BY_REQUEST: i32 = 128 + libc::SIGTERM;

/// A kernel that gives up says why, and then nothing more for this long.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(500);

/// For waits that are for processes only.
const NOTHING: Option<&UnixListener> = None;

/// The processes go before the folder.
#[derive(Debug)]
pub(super) struct Run {
    wards: Wards,
    folder: RunFolder,
    logs: Vec<PathBuf>,
    keep: bool,
}

impl Run {
    pub(super) fn create(keep: bool) -> Result<Self> {
        let mut folder = RunFolder::create()?;
        if keep {
            folder.keep();
        }
        Ok(Self {
            wards: Wards::new()?,
            folder,
            logs: Vec::new(),
            keep,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From now on failures show the ends of these logs.
    pub(super) fn show_logs(&mut self, logs: Vec<PathBuf>) {
        self.logs = logs;
    }

    pub(super) fn start(&mut self, name: &str, command: &CommandLine, log: &Path) -> Result<()> {
        log::debug!("{command}");
        self.wards.add(Process::start(name, command, log)?);
        Ok(())
    }

    pub(super) fn start_on_terminal(&mut self, name: &str, command: &CommandLine) -> Result<()> {
        log::debug!("{command}");
        self.wards.add(Process::start_on_terminal(name, command)?);
        Ok(())
    }

    /// Processor time of a process's threads.
    pub(super) fn processor_seconds(&self, name: &str) -> Result<f64> {
        self.wards.processor_seconds(name)
    }

    /// Starts all devices and waits until they listen.
    pub(super) fn start_devices(&mut self, launch: &Launch) -> Result<()> {
        let mut sockets = Vec::new();
        for device in &launch.devices {
            self.start(&device.name, &device.command, &device.log)?;
            let places = &device.sockets;
            sockets.extend([&places.device, &places.access, &places.statistics]);
            sockets.extend(&places.oracle);
        }
        let sockets: Vec<_> = sockets.into_iter().map(PathBuf::as_path).collect();
        let activity = "waited for the device to listen";
        let deadline = Instant::now() + LISTEN_TIMEOUT;
        while !all_listen(&sockets)? {
            let now = Instant::now();
            if now >= deadline {
                return Err(self.timed_out(activity, LISTEN_TIMEOUT));
            }
            self.wait(NOTHING, Some(now + LISTEN_INTERVAL), activity)?;
        }
        Ok(())
    }

    /// Waits for `source` to become readable; false when the deadline comes first.
    pub(super) fn wait(
        &mut self,
        source: Option<&impl AsFd>,
        deadline: Option<Instant>,
        activity: &str,
    ) -> Result<bool> {
        match self.wards.wait(source.map(AsFd::as_fd), deadline)? {
            Wake::Ready => Ok(true),
            Wake::TimedOut => Ok(false),
            Wake::Interrupted(interrupted) => Err(interrupted.into()),
            Wake::Ended { name, status } => Err(self.ended(name, status, activity)),
        }
    }

    /// Fails if a process has ended or the user wants to stop.
    pub(super) fn check(&mut self, activity: &str) -> Result<()> {
        self.check_within(Duration::ZERO, activity)
    }

    /// Fails if a process ends in this time or the user wants to stop.
    pub(super) fn check_within(&mut self, time: Duration, activity: &str) -> Result<()> {
        self.wait(NOTHING, Some(Instant::now() + time), activity)?;
        Ok(())
    }

    /// Waits for the end of one process, which is no failure.
    pub(super) fn wait_for_end(
        &mut self,
        expected: &str,
        timeout: Option<Duration>,
    ) -> Result<ExitStatus> {
        let activity = format!("waited for the end of {expected}");
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        match self.wards.wait(None, deadline)? {
            Wake::Ended { name, status } if name == expected => Ok(status),
            Wake::Ended { name, status } => Err(self.ended(name, status, &activity)),
            Wake::Interrupted(interrupted) => Err(interrupted.into()),
            Wake::Ready | Wake::TimedOut => {
                Err(self.timed_out(&activity, timeout.unwrap_or_default()))
            }
        }
    }

    /// Waits for the end of QEMU; a crash of the guest's kernel, which may have restarted the guest,
    /// is a failure.
    pub(super) fn wait_for_end_or_crash(&mut self, expected: &str) -> Result<ExitStatus> {
        let activity = format!("waited for the end of {expected}");
        let mut watch = CrashWatch::start(&self.folder().join(CONSOLE_LOG))?;
        let (mut has_crashed, mut deadline) = (false, None);
        loop {
            match self.wards.wait(Some(watch.as_fd()), deadline)? {
                Wake::Ready => {
                    has_crashed |= watch.has_crashed()?;
                    deadline = has_crashed.then(|| Instant::now() + LAST_WORDS_TIMEOUT);
                }
                Wake::Ended { name, status } if name == expected => return Ok(status),
                Wake::Ended { name, status } => return Err(self.ended(name, status, &activity)),
                Wake::Interrupted(interrupted) => return Err(interrupted.into()),
                Wake::TimedOut => return Err(self.failure(Cause::Crashed)),
            }
        }
    }

    /// Fails if the guest's kernel has crashed.
    pub(super) fn check_console(&mut self) -> Result<()> {
        match crash_text(&self.folder().join(CONSOLE_LOG)).is_empty() {
            true => Ok(()),
            false => Err(self.failure(Cause::Crashed)),
        }
    }

    /// Ends what still runs. Returns the folder if it was to be kept.
    pub(super) fn end(mut self) -> Result<Option<PathBuf>> {
        for (name, status) in self.wards.end()? {
            if !status.success() && status.code() != Some(ENDED_BY_REQUEST) {
                return Err(self.ended(name, status, "shut the machine down"));
            }
        }
        Ok(self.keep.then(|| self.folder().to_owned()))
    }

    pub(super) fn timed_out(&mut self, activity: &str, timeout: Duration) -> anyhow::Error {
        self.failure(Cause::TimedOut {
            activity: activity.to_owned(),
            timeout,
        })
    }

    pub(super) fn ended(
        &mut self,
        name: String,
        status: ExitStatus,
        activity: &str,
    ) -> anyhow::Error {
        self.failure(Cause::Ended {
            name,
            status,
            activity: activity.to_owned(),
        })
    }

    /// A failure with the ends of the logs; the folder stays for the rest of them.
    pub(super) fn failure(&mut self, cause: Cause) -> anyhow::Error {
        match self.keep {
            true => self.folder.keep(),
            false => self.folder.keep_logs(),
        }
        let logs = self.logs.iter().map(|path| LogEnd::read(path, SHOWN_LINES));
        let failure = Failure {
            cause,
            crash: crash_text(&self.folder().join(CONSOLE_LOG)),
            logs: logs.collect(),
            folder: self.folder().to_owned(),
        };
        failure.into()
    }
}
