// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the guest's agent can be asked for.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chmu::agent::protocol::{Command, Reply, Response};

use super::Machine;
use super::agent::{AgentLine, Received};
use super::failure::Cause;
use super::run::Run;

/// The agent answers this long after the time that a request may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// QEMU closes its end of the line when it ends, and is gone soon after.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// What a program in the guest did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code, or 128 plus the number of the signal that ended it.
    pub exit_code: i32,
    /// What it wrote.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// It was killed at the end of its time.
    pub timed_out: bool,
}

impl Machine {
    /// Runs a program to its end; after `timeout` it is killed, which [`Output::timed_out`] says.
    ///
    /// # Errors
    /// When the program does not start or the machine fails.
    pub fn run(&mut self, command: &[&str], timeout: Duration) -> Result<Output> {
        let request = Command::Run {
            command: owned(command),
            timeout_ms: milliseconds(timeout),
        };
        output(self.call(request, timeout)?)
    }

    /// Runs a program that must succeed, and returns what it wrote.
    ///
    /// # Errors
    /// As for [`Machine::run`], and when the program fails or takes too long.
    pub fn run_checked(&mut self, command: &[&str], timeout: Duration) -> Result<String> {
        let output = self.run(command, timeout)?;
        let shown = command.join(" ");
        ensure!(
            !output.timed_out,
            "In the guest `{shown}` was killed after {} s",
            timeout.as_secs()
        );
        ensure!(
            output.exit_code == 0,
            "In the guest `{shown}` ended with code {}: {}",
            output.exit_code,
            output.stderr.trim()
        );
        Ok(output.stdout)
    }

    /// Runs a program to its end, and hands on what it writes to its two outputs. After `timeout` it is told to end, and
    /// killed ten seconds later, which [`Output::timed_out`] says; its time is the guest's.
    ///
    /// # Errors
    /// When the program does not start, `hand_on` fails, or the machine does.
    pub fn stream(
        &mut self,
        command: &[&str],
        timeout: Option<Duration>,
        mut hand_on: impl FnMut(&str, &str) -> Result<()>,
    ) -> Result<Output> {
        let command = Command::Stream {
            command: owned(command),
            timeout_ms: timeout.map(milliseconds),
        };
        let activity = activity(&command);
        let id = self.send(command, &activity)?;
        loop {
            let response = next(&mut self.run, &mut self.agent, None, &activity)?;
            match self.answer(id, response, &activity)? {
                Some(Reply::Output { stdout, stderr }) => hand_on(&stdout, &stderr)?,
                Some(reply) => return output(accepted(reply)?),
                None => {}
            }
        }
    }

    /// Starts a program and returns its process id.
    ///
    /// # Errors
    /// When the program does not start or the machine fails.
    pub fn spawn(&mut self, command: &[&str]) -> Result<u32> {
        let command = owned(command);
        match self.call(Command::Spawn { command }, Duration::ZERO)? {
            Reply::Spawned { process_id } => Ok(process_id),
            other => unexpected(&other),
        }
    }

    /// Waits for the end of a spawned program.
    ///
    /// # Errors
    /// When it still runs after `timeout`, or the machine fails.
    pub fn wait(&mut self, process_id: u32, timeout: Duration) -> Result<Output> {
        let request = Command::Wait {
            process_id,
            timeout_ms: milliseconds(timeout),
        };
        output(self.call(request, timeout)?)
    }

    /// Sends a signal to a spawned program.
    ///
    /// # Errors
    /// When there is no such program or the machine fails.
    pub fn signal(&mut self, process_id: u32, signal: i32) -> Result<()> {
        self.call(Command::Signal { process_id, signal }, Duration::ZERO)?;
        Ok(())
    }

    /// Reads a text file of the guest.
    ///
    /// # Errors
    /// When it cannot be read or the machine fails.
    pub fn read(&mut self, path: &str) -> Result<String> {
        let path = path.to_owned();
        match self.call(Command::Read { path }, Duration::ZERO)? {
            Reply::Content { text } => Ok(text),
            other => unexpected(&other),
        }
    }

    /// Sends a request that may take `timeout` and waits for its answer.
    pub(super) fn call(&mut self, command: Command, timeout: Duration) -> Result<Reply> {
        let activity = activity(&command);
        let id = self.send(command, &activity)?;
        let timeout = timeout.saturating_add(ANSWER_TIMEOUT);
        let deadline = Some(Instant::now() + timeout);
        loop {
            let response = next(&mut self.run, &mut self.agent, deadline, &activity)?;
            if response.is_none() {
                return Err(self.run.timed_out(&activity, timeout));
            }
            if let Some(reply) = self.answer(id, response, &activity)? {
                return accepted(reply);
            }
        }
    }

    fn send(&mut self, command: Command, activity: &str) -> Result<u64> {
        self.run.check(activity)?;
        self.agent
            .send(command)
            .context("Cannot send a request to the guest's agent")
    }

    /// The reply in what the agent said, if it is the one to request `id`.
    fn answer(
        &mut self,
        id: u64,
        response: Option<Response>,
        activity: &str,
    ) -> Result<Option<Reply>> {
        match response {
            Some(Response {
                reply: Reply::Ready { .. },
                ..
            }) => Err(self.run.failure(Cause::Restarted {
                activity: activity.to_owned(),
            })),
            Some(response) if response.id == Some(id) => Ok(Some(response.reply)),
            Some(late) => {
                log::debug!("An answer that nobody waits for: {late:?}");
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

/// Waits until the agent says that it serves; returns the guest's kernel release.
pub(super) fn wait_until_ready(
    run: &mut Run,
    agent: &mut AgentLine,
    deadline: Instant,
    timeout: Duration,
) -> Result<String> {
    let activity = "waited for the guest to boot";
    loop {
        match next(run, agent, Some(deadline), activity)? {
            None => return Err(run.timed_out(activity, timeout)),
            Some(Response {
                reply: Reply::Ready { kernel },
                ..
            }) => return Ok(kernel),
            Some(early) => log::debug!("An answer before the agent is ready: {early:?}"),
        }
    }
}

/// The agent's next words; none when the deadline comes first.
fn next(
    run: &mut Run,
    agent: &mut AgentLine,
    deadline: Option<Instant>,
    activity: &str,
) -> Result<Option<Response>> {
    loop {
        if let Some(response) = agent.next_response() {
            return Ok(Some(response));
        }
        if !run.wait(Some(&*agent), deadline, activity)? {
            return Ok(None);
        }
        let reason = match agent.receive() {
            Ok(Received::Data) => continue,
            Ok(Received::End) => "QEMU has closed it".to_owned(),
            Err(error) => error.to_string(),
        };
        run.check_within(END_TIMEOUT, activity)?;
        let activity = activity.to_owned();
        return Err(run.failure(Cause::Connection { activity, reason }));
    }
}

fn accepted(reply: Reply) -> Result<Reply> {
    match reply {
        Reply::Failed { reason } => bail!("The guest's agent says: {reason}"),
        reply => Ok(reply),
    }
}

fn output(reply: Reply) -> Result<Output> {
    match reply {
        Reply::Finished {
            exit_code,
            stdout,
            stderr,
            timed_out,
        } => Ok(Output {
            exit_code,
            stdout,
            stderr,
            timed_out,
        }),
        other => unexpected(&other),
    }
}

fn unexpected<T>(reply: &Reply) -> Result<T> {
    bail!("The guest's agent gave an answer to another question: {reply:?}")
}

fn owned(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}

/// To be read after "the lab".
fn activity(command: &Command) -> String {
    match command {
        Command::Run { command, .. } | Command::Stream { command, .. } => {
            format!("ran `{}` in the guest", command.join(" "))
        }
        Command::Spawn { command } => format!("started `{}` in the guest", command.join(" ")),
        Command::Signal { process_id, signal } => {
            format!("sent signal {signal} to the guest's process {process_id}")
        }
        Command::Wait { process_id, .. } => format!("waited for the guest's process {process_id}"),
        Command::Read { path } => format!("read {path} in the guest"),
        Command::PowerOff {} => "switched the guest off".to_owned(),
        Command::Reboot {} => "restarted the guest".to_owned(),
    }
}

#[cfg(test)]
mod tests;
