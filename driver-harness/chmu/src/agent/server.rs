// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The agent's loop: a line in, a line out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::capture::CapturedChild;
use super::port::{self, Shutdown};
use super::protocol::{Command, OUTPUT_LIMIT_BYTES, Reply, Request, Response};

/// The longest request; a longer line is dropped whole.
const REQUEST_LIMIT_BYTES: u64 = 64 << 10;

/// What ends the agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The port cannot be opened or set to raw mode.
    #[error("Cannot open the port {path}")]
    Open {
        /// The port's path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The port failed while serving.
    #[error("The port failed")]
    Port(#[source] io::Error),
    /// The machine did not go down.
    #[error("Cannot shut the machine down")]
    ShutDown(#[source] io::Error),
}

/// Opens `path` and serves until the host asks for a shutdown or closes the port.
pub fn serve_port(path: &Path) -> Result<(), AgentError> {
    let opened = port::open(path).and_then(|port| Ok((port.try_clone()?, port)));
    let (input, mut output) = opened.map_err(|source| AgentError::Open {
        path: path.to_owned(),
        source,
    })?;
    let shutdown = serve_lines(input, &mut output).map_err(AgentError::Port)?;
    if let Some(how) = shutdown {
        port::drain(&output);
        return Err(AgentError::ShutDown(port::shut_down(how)));
    }
    Ok(())
}

/// Serves on any pair of streams until the input ends; a shutdown request also ends it, without
/// touching the machine.
pub fn serve(input: impl Read, output: impl Write) -> Result<(), AgentError> {
    serve_lines(input, output)
        .map(|_| ())
        .map_err(AgentError::Port)
}

fn serve_lines(input: impl Read, mut output: impl Write) -> io::Result<Option<Shutdown>> {
    let mut lines = BufReader::new(input);
    let mut processes = Processes::default();
    let kernel = kernel_release();
    send(&mut output, None, Reply::Ready { kernel })?;
    while let Some(line) = read_line(&mut lines)? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let request = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => request,
            Err(error) => {
                let reason = format!("This is no request: {error}");
                send(&mut output, None, Reply::Failed { reason })?;
                continue;
            }
        };
        if let Command::Stream {
            command,
            timeout_ms,
        } = &request.command
        {
            let timeout = timeout_ms.map(Duration::from_millis);
            stream(&mut output, request.id, command, timeout)?;
            continue;
        }
        let shutdown = match request.command {
            Command::PowerOff {} => Some(Shutdown::PowerOff),
            Command::Reboot {} => Some(Shutdown::Reboot),
            _ => None,
        };
        let reply = processes.answer(request.command);
        send(&mut output, Some(request.id), reply)?;
        if shutdown.is_some() {
            return Ok(shutdown);
        }
    }
    Ok(None)
}

/// The next line, without one that is too long; `None` at the end of the input.
fn read_line(lines: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    lines
        .by_ref()
        .take(REQUEST_LIMIT_BYTES)
        .read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() as u64 == REQUEST_LIMIT_BYTES {
        lines.skip_until(b'\n')?;
        return Ok(Some(b"a line that is too long".to_vec()));
    }
    Ok(Some(line))
}

fn send(output: &mut impl Write, id: Option<u64>, reply: Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Response { id, reply })?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

/// Runs a program and sends on what it writes. Only a port that fails is an error.
fn stream(
    output: &mut impl Write,
    id: u64,
    command: &[String],
    timeout: Option<Duration>,
) -> io::Result<()> {
    let mut port_failure = None;
    let finished = CapturedChild::start(command).and_then(|child| {
        child.finish_streaming(timeout, |stdout, stderr| {
            let sent = send(output, Some(id), Reply::Output { stdout, stderr });
            sent.map_err(|error| {
                let kind = error.kind();
                port_failure = Some(error);
                kind.into()
            })
        })
    });
    if let Some(error) = port_failure {
        return Err(error);
    }
    let reply = finished.unwrap_or_else(|error| Reply::Failed {
        reason: about_command(command, &error),
    });
    send(output, Some(id), reply)
}

fn kernel_release() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

/// The programs that were spawned and not yet waited for.
#[derive(Debug, Default)]
struct Processes {
    running: BTreeMap<u32, Receiver<io::Result<Reply>>>,
}

impl Processes {
    fn answer(&mut self, command: Command) -> Reply {
        let outcome = match command {
            Command::Run {
                command,
                timeout_ms,
            } => CapturedChild::start(&command)
                .and_then(|child| child.finish(Some(Duration::from_millis(timeout_ms))))
                .map_err(|error| about_command(&command, &error)),
            Command::Spawn { command } => self
                .spawn(&command)
                .map_err(|error| about_command(&command, &error)),
            Command::Signal { process_id, signal } => self.signal(process_id, signal),
            Command::Wait {
                process_id,
                timeout_ms,
            } => self.wait(process_id, Duration::from_millis(timeout_ms)),
            Command::Read { path } => read_text(&path),
            Command::Stream { .. } | Command::PowerOff {} | Command::Reboot {} => {
                Ok(Reply::Done {})
            }
        };
        outcome.unwrap_or_else(|reason| Reply::Failed { reason })
    }

    fn spawn(&mut self, command: &[String]) -> io::Result<Reply> {
        let child = CapturedChild::start(command)?;
        let process_id = child.id();
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .name(format!("capture-{process_id}"))
            .spawn(move || {
                // Nobody waits any more when the agent ends: the result may go nowhere.
                let _ = sender.send(child.finish(None));
            })?;
        self.running.insert(process_id, receiver);
        Ok(Reply::Spawned { process_id })
    }

    fn signal(&self, process_id: u32, signal: i32) -> Result<Reply, String> {
        if !self.running.contains_key(&process_id) {
            return Err(format!("Process {process_id} was not spawned here"));
        }
        let pid = i32::try_from(process_id).map_err(|error| error.to_string())?;
        // SAFETY: the call takes two integers and touches no memory of ours.
        match unsafe { libc::kill(pid, signal) } {
            0 => Ok(Reply::Done {}),
            _ => Err(format!(
                "Cannot send signal {signal} to process {process_id}: {}",
                io::Error::last_os_error()
            )),
        }
    }

    fn wait(&mut self, process_id: u32, timeout: Duration) -> Result<Reply, String> {
        let receiver = self
            .running
            .get(&process_id)
            .ok_or_else(|| format!("Process {process_id} was not spawned here"))?;
        let outcome = match receiver.recv_timeout(timeout) {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!(
                    "Process {process_id} still runs after {} ms",
                    timeout.as_millis()
                ));
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("The output of process {process_id} was lost"))
            }
        };
        self.running.remove(&process_id);
        outcome
    }
}

fn about_command(command: &[String], error: &io::Error) -> String {
    let program = command.first().map_or("", String::as_str);
    format!("Cannot run {program:?}: {error}")
}

fn read_text(path: &str) -> Result<Reply, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(OUTPUT_LIMIT_BYTES as u64).read_to_end(&mut bytes))
        .map_err(|error| format!("Cannot read {path:?}: {error}"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Reply::Content { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the agent answers to these lines, `ready` left out.
    fn answers(input: &str) -> Vec<Response> {
        let mut output = Vec::new();
        serve(input.as_bytes(), &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let ready: Response = lines.next().unwrap();
        assert!(matches!(ready.reply, Reply::Ready { .. }));
        lines.collect()
    }

    fn finished(response: &Response) -> (i32, &str, &str, bool) {
        match &response.reply {
            Reply::Finished {
                exit_code,
                stdout,
                stderr,
                timed_out,
            } => (*exit_code, stdout, stderr, *timed_out),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_program_is_run_with_both_outputs_and_its_code() {
        let line = r#"{"id":7,"run":{"command":["sh","-c","echo out; echo err >&2; exit 3"],"timeout_ms":60000}}"#;
        let answers = answers(line);
        assert_eq!(answers[0].id, Some(7));
        assert_eq!(finished(&answers[0]), (3, "out\n", "err\n", false));
    }

    #[test]
    fn a_streamed_program_is_heard_while_it_runs() {
        // The program waits for what only a reader of its first words can make.
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let script = format!(
            "echo first; until [ -e {0} ]; do sleep 0.01; done; printf last; echo err >&2; exit 3",
            told.display()
        );
        let command = serde_json::json!({"id": 7, "stream": {"command": ["sh", "-c", script]}});
        let (reader, writer) = io::pipe().unwrap();
        let served = thread::spawn(move || serve(format!("{command}\n").as_bytes(), writer));
        let (mut stdout, mut stderr, mut code) = (String::new(), String::new(), None);
        for line in BufReader::new(reader).lines() {
            match serde_json::from_str::<Response>(&line.unwrap())
                .unwrap()
                .reply
            {
                Reply::Output {
                    stdout: out,
                    stderr: err,
                } => {
                    stdout.push_str(&out);
                    stderr.push_str(&err);
                    std::fs::write(&told, "").unwrap();
                }
                Reply::Finished { exit_code, .. } => code = Some(exit_code),
                other => assert!(matches!(other, Reply::Ready { .. }), "{other:?}"),
            }
        }
        served.join().unwrap().unwrap();
        assert_eq!((stdout.as_str(), stderr.as_str()), ("first\nlast", "err\n"));
        assert_eq!(code, Some(3));
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let line = r#"{"id":1,"run":{"command":["sh","-c","echo a; sleep 1000 & wait"],"timeout_ms":300}}"#;
        let answers = answers(line);
        let (exit_code, _, _, timed_out) = finished(&answers[0]);
        assert_eq!((exit_code, timed_out), (128 + libc::SIGKILL, true));
    }

    #[test]
    fn a_streamed_program_that_takes_too_long_is_told_to_end_first() {
        let line = r#"{"id":1,"stream":{"command":["sh","-c","trap 'echo told; exit 5' TERM; while :; do sleep 0.1; done"],"timeout_ms":300}}"#;
        let answers = answers(line);
        let (exit_code, _, _, timed_out) = finished(answers.last().unwrap());
        assert_eq!((exit_code, timed_out), (5, true));
        assert!(format!("{answers:?}").contains("told"), "{answers:?}");
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_hold_the_answer() {
        let line =
            r#"{"id":1,"run":{"command":["sh","-c","sleep 1000 & echo $!"],"timeout_ms":60000}}"#;
        let answers = answers(line);
        let (exit_code, stdout, _, timed_out) = finished(&answers[0]);
        assert_eq!((exit_code, timed_out), (0, false));
        let sleeper: i32 = stdout.trim().parse().unwrap();
        // SAFETY: the call takes two integers; the sleeper is ours and still runs.
        assert_eq!(unsafe { libc::kill(sleeper, libc::SIGKILL) }, 0);
    }

    #[test]
    fn long_output_is_cut_and_says_so() {
        let line =
            r#"{"id":1,"run":{"command":["head","-c","5000000","/dev/zero"],"timeout_ms":60000}}"#;
        let answers = answers(line);
        let (exit_code, stdout, _, _) = finished(&answers[0]);
        assert_eq!(exit_code, 0);
        let dropped = 5_000_000 - OUTPUT_LIMIT_BYTES;
        assert!(stdout.ends_with(&format!("\n[{dropped} more bytes dropped]\n")));
    }

    #[test]
    fn garbage_and_wrong_numbers_are_answered_and_harmless() {
        let long = "x".repeat(100_000);
        let input = format!(
            "garbage\n{long}\n\n{}\n{}\n{}\n{}\n",
            r#"{"id":2,"wait":{"process_id":1,"timeout_ms":0}}"#,
            r#"{"id":3,"signal":{"process_id":1,"signal":9}}"#,
            r#"{"id":4,"run":{"command":[],"timeout_ms":1}}"#,
            r#"{"id":5,"read":{"path":"/nowhere"}}"#,
        );
        let answers = answers(&input);
        let ids: Vec<_> = answers.iter().map(|answer| answer.id).collect();
        assert_eq!(ids, [None, None, Some(2), Some(3), Some(4), Some(5)]);
        for answer in answers {
            assert!(matches!(answer.reply, Reply::Failed { .. }), "{answer:?}");
        }
    }

    #[test]
    fn a_spawned_program_can_be_signalled_and_waited_for() {
        let mut processes = Processes::default();
        let command = vec!["sleep".to_owned(), "1000".to_owned()];
        let Reply::Spawned { process_id } = processes.answer(Command::Spawn { command }) else {
            panic!("not spawned");
        };
        let wait = |timeout_ms| Command::Wait {
            process_id,
            timeout_ms,
        };
        let still = processes.answer(wait(0));
        assert!(matches!(still, Reply::Failed { .. }), "{still:?}");
        let signal = libc::SIGTERM;
        let done = processes.answer(Command::Signal { process_id, signal });
        assert_eq!(done, Reply::Done {});
        let Reply::Finished { exit_code, .. } = processes.answer(wait(60_000)) else {
            panic!("not finished");
        };
        assert_eq!(exit_code, 128 + libc::SIGTERM);
        let gone = processes.answer(wait(0));
        assert!(matches!(gone, Reply::Failed { .. }), "{gone:?}");
    }

    #[test]
    fn a_shutdown_is_answered_before_it_happens() {
        let answers = answers("{\"id\":9,\"reboot\":{}}\n{\"id\":10,\"power_off\":{}}\n");
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].reply, Reply::Done {});
    }
}
