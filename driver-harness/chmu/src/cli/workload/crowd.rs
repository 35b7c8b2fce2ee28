// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu workload --processes`: many processes, each with a workload of its own.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use chmu_machine::words;
use serde::Serialize;

use super::{PageOptions, TrafficOptions, run_traffic};
use crate::cli::exit_code::NEGATIVE_RESULT;
use crate::cli::signals::{NOTICE, Signals};

/// What became of the processes.
#[derive(Debug, Serialize)]
struct Report {
    processes: u32,
    /// The numbers of those that failed, or whose pages do not hold what was written to them.
    wrong: Vec<u32>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processes = words::count(self.processes.into(), "process", "processes");
        match &self.wrong[..] {
            [] => writeln!(f, "{processes}, all of which found their pages whole"),
            wrong => writeln!(f, "{processes}; not so those with the numbers {wrong:?}"),
        }
    }
}

/// One of the processes.
#[derive(Debug, Serialize)]
struct Member {
    number: u32,
    process_id: i32,
    state: PathBuf,
}

/// Starts the processes, and hands on to all of them when to start and when to end.
pub(super) fn run(pages: &PageOptions, traffic: &TrafficOptions) -> anyhow::Result<ExitCode> {
    let path = pages.state.as_deref();
    let path = path.context("Many processes need a --state FILE to be told apart by")?;
    let mut members = Vec::new();
    for number in 1..=traffic.processes {
        let state = numbered(path, number);
        // One that another run left would look like this run's.
        let _ = fs::remove_file(&state);
        let process_id = start(number, &state, pages, traffic)?;
        members.push(Member {
            number,
            process_id,
            state,
        });
    }
    // Not before: the processes catch signals of their own.
    let signals = Signals::catch()?;
    wait_until_ready(&members, &signals)?;
    let list = serde_json::to_string(&members)?;
    fs::write(path, list).with_context(|| format!("Cannot write {}", path.display()))?;
    if pages.wait {
        signals.wait_for_start()?;
        tell(&members, libc::SIGUSR1);
    }
    let ends_by_itself = !pages.hold && (traffic.rounds.is_some() || traffic.seconds.is_some());
    if !ends_by_itself || signals.stop().is_raised() {
        signals.wait_for_stop()?;
        tell(&members, libc::SIGTERM);
    }
    let mut wrong = Vec::new();
    for member in &members {
        if !ended_well(member.process_id)? {
            wrong.push(member.number);
        }
    }
    let report = Report {
        processes: traffic.processes,
        wrong,
    };
    pages.output.print(&report)?;
    Ok(match report.wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(NEGATIVE_RESULT),
    })
}

/// The state file of a process.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-{number}"));
    PathBuf::from(name)
}

/// Starts one, which does not outlive this process.
fn start(
    number: u32,
    state: &Path,
    pages: &PageOptions,
    traffic: &TrafficOptions,
) -> anyhow::Result<i32> {
    let parent = std::process::id();
    // SAFETY: this program has one thread until now, so that the child may do whatever it likes.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: the call only chooses the signal that tells of the parent's end.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let orphan = std::os::unix::process::parent_id() != parent;
            let well = !orphan && work(number, state, pages, traffic);
            std::process::exit(i32::from(!well))
        }
        child if child > 0 => Ok(child),
        _ => {
            let error = Err(io::Error::last_os_error());
            error.with_context(|| format!("Cannot start process {number} of the workload"))
        }
    }
}

/// What the process does; whether its pages hold what was written to them.
fn work(number: u32, state: &Path, pages: &PageOptions, traffic: &TrafficOptions) -> bool {
    let mut pages = pages.clone();
    pages.seed = pages.seed.wrapping_add(number.into());
    pages.state = Some(state.to_owned());
    match run_traffic(&pages, traffic) {
        Ok(report) => report.is_right(),
        Err(error) => {
            log::error!("Process {number} of the workload: {error:#}");
            false
        }
    }
}

/// Waits until all have published their state. One that ends before will not.
fn wait_until_ready(members: &[Member], signals: &Signals) -> anyhow::Result<()> {
    for member in members {
        while !member.state.exists() {
            if has_ended(member.process_id)? {
                bail!(
                    "Process {} of the workload ended before its pages were ready",
                    member.number
                );
            }
            signals.sleep(Some(NOTICE))?;
            if signals.stop().is_raised() {
                bail!("Told to stop before the pages of all processes were ready");
            }
        }
    }
    Ok(())
}

fn tell(members: &[Member], signal: i32) {
    for member in members {
        // SAFETY: nobody has waited for this child yet, so that the number is still its own.
        unsafe { libc::kill(member.process_id, signal) };
    }
}

/// Whether a process has ended; it is not waited for.
fn has_ended(process_id: i32) -> io::Result<bool> {
    let child = libc::id_t::try_from(process_id).map_err(io::Error::other)?;
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: a structure of numbers, of which zeros are legal ones.
    let mut found: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: what is found is written to a variable that lives.
    match unsafe { libc::waitid(libc::P_PID, child, &raw mut found, options) } {
        // SAFETY: the call has written to the field, or left its zero.
        0 => Ok(unsafe { found.si_pid() } != 0),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for the end of a process.
fn ended_well(process_id: i32) -> io::Result<bool> {
    let mut status = 0;
    loop {
        // SAFETY: the status is written to a variable that lives.
        if unsafe { libc::waitpid(process_id, &raw mut status, 0) } == process_id {
            return Ok(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
