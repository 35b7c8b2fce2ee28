// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A child process whose output is collected, bounded in size and time.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use chmu_machine::wait;

use super::protocol::{OUTPUT_LIMIT_BYTES, Reply};

/// Who is told to end has so long for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A started program in its own process group, with its outputs in pipes.
#[derive(Debug)]
pub(super) struct CapturedChild {
    child: Child,
    process: OwnedFd,
    stdout: Pipe,
    stderr: Pipe,
}

impl CapturedChild {
    /// Starts `command`; its input is empty.
    pub(super) fn start(command: &[String]) -> io::Result<CapturedChild> {
        let (program, arguments) = command.split_first().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "The command names no program")
        })?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let process = open_process(child.id())?;
        let stdout = Pipe::new(child.stdout.take())?;
        let stderr = Pipe::new(child.stderr.take())?;
        Ok(CapturedChild {
            child,
            process,
            stdout,
            stderr,
        })
    }

    /// The process id, which is also the id of its process group.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Collects output until the program ends; kills its process group after `timeout`.
    ///
    /// The end of the program is what counts, not the end of its output: a grandchild that keeps
    /// the pipes open does not hold the answer back.
    pub(super) fn finish(mut self, timeout: Option<Duration>) -> io::Result<Reply> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut timed_out = false;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                timed_out = true;
                signal_group(self.child.id(), libc::SIGKILL);
                break self.child.wait()?;
            }
            self.wait_for_output(deadline)?;
            self.collect()?;
        };
        self.collect()?;
        Ok(Reply::Finished {
            exit_code: exit_code(status),
            stdout: self.stdout.into_text(),
            stderr: self.stderr.into_text(),
            timed_out,
        })
    }

    /// Hands on what the program writes until it ends; what it wrote is not in the reply. After `timeout` its process
    /// group is told to end, and [`PATIENCE`] later it is killed.
    pub(super) fn finish_streaming(
        mut self,
        timeout: Option<Duration>,
        mut hand_on: impl FnMut(String, String) -> io::Result<()>,
    ) -> io::Result<Reply> {
        let mut deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut timed_out = false;
        loop {
            let status = self.child.try_wait()?;
            if status.is_none() {
                self.wait_for_output(deadline)?;
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    let (signal, then) = match timed_out {
                        false => (libc::SIGTERM, Some(Instant::now() + PATIENCE)),
                        true => (libc::SIGKILL, None),
                    };
                    signal_group(self.child.id(), signal);
                    (timed_out, deadline) = (true, then);
                }
            }
            self.collect()?;
            let is_over = status.is_some();
            let (stdout, stderr) = (
                self.stdout.take_text(is_over),
                self.stderr.take_text(is_over),
            );
            if !stdout.is_empty() || !stderr.is_empty() {
                hand_on(stdout, stderr)?;
            }
            if let Some(status) = status {
                return Ok(Reply::Finished {
                    exit_code: exit_code(status),
                    stdout: String::new(),
                    stderr: String::new(),
                    timed_out,
                });
            }
        }
    }

    fn collect(&mut self) -> io::Result<()> {
        self.stdout.collect()?;
        self.stderr.collect()
    }

    fn wait_for_output(&self, deadline: Option<Instant>) -> io::Result<()> {
        let fds = [
            self.process.as_raw_fd(),
            self.stdout.raw_fd(),
            self.stderr.raw_fd(),
        ];
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        wait::readable(&fds, left).map(|_| ())
    }
}

/// One output of a program, read without blocking.
#[derive(Debug)]
struct Pipe {
    /// Gone once the other end is closed.
    source: Option<std::fs::File>,
    kept: Vec<u8>,
    dropped_bytes: usize,
}

impl Pipe {
    fn new(source: Option<impl Into<OwnedFd>>) -> io::Result<Pipe> {
        let source = source.map(|source| std::fs::File::from(source.into()));
        if let Some(source) = &source {
            set_nonblocking(source.as_raw_fd())?;
        }
        Ok(Pipe {
            source,
            kept: Vec::new(),
            dropped_bytes: 0,
        })
    }

    /// For `poll`, which skips negative numbers.
    fn raw_fd(&self) -> i32 {
        self.source.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn collect(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        while let Some(source) = &mut self.source {
            match source.read(&mut piece) {
                Ok(0) => self.source = None,
                Ok(count) => {
                    let room = OUTPUT_LIMIT_BYTES.saturating_sub(self.kept.len());
                    let kept = count.min(room);
                    self.kept.extend_from_slice(&piece[..kept]);
                    self.dropped_bytes = self.dropped_bytes.saturating_add(count - kept);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What was collected so far. A character that may still be completed stays, except at the
    /// end.
    fn take_text(&mut self, is_over: bool) -> String {
        let unfinished = match std::str::from_utf8(&self.kept) {
            Err(error) if !is_over && error.error_len().is_none() => {
                self.kept.len() - error.valid_up_to()
            }
            _ => 0,
        };
        let rest = self.kept.split_off(self.kept.len() - unfinished);
        let taken = std::mem::replace(&mut self.kept, rest);
        let mut text = String::from_utf8_lossy(&taken).into_owned();
        match std::mem::take(&mut self.dropped_bytes) {
            0 => {}
            dropped => text.push_str(&format!("\n[{dropped} more bytes dropped]\n")),
        }
        text
    }

    fn into_text(mut self) -> String {
        self.take_text(true)
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    let by_signal = || status.signal().map_or(1, |signal| 128 + signal);
    status.code().unwrap_or_else(by_signal)
}

fn open_process(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    let fd = i32::try_from(fd)
        .ok()
        .filter(|&fd| fd >= 0)
        .ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_nonblocking(fd: i32) -> io::Result<()> {
    // SAFETY: F_SETFL takes an integer and touches no memory of ours.
    match unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Signals the process group of a child that has not been waited for, so its number is still its own.
fn signal_group(id: u32, signal: i32) {
    if let Ok(group) = i32::try_from(id) {
        // SAFETY: the call takes two integers and touches no memory of ours.
        unsafe { libc::kill(-group, signal) };
    }
}
