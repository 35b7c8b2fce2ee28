// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the host and the guest agent say to each other.
//!
//! A line is one JSON object: `{"id":1,"run":{"command":["uname"],"timeout_ms":1000}}` from the
//! host, `{"id":1,"finished":{"exit_code":0,"stdout":"Linux\n","stderr":""}}` from the guest. The
//! guest says `{"ready":{"kernel":"..."}}` once before anything else. A line that is no request is
//! answered with `{"failed":{"reason":"..."}}` without an id.

use serde::{Deserialize, Serialize};

/// The most that is kept of each of a program's two outputs.
pub const OUTPUT_LIMIT_BYTES: usize = 4 << 20;

/// One line from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the host; the answer carries the same number.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub command: Command,
}

/// What the host may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Run a program to its end; answered by [`Reply::Finished`].
    Run {
        /// The program and its arguments.
        command: Vec<String>,
        /// The program and its children are killed after this time.
        timeout_ms: u64,
    },
    /// Run a program to its end; answered by [`Reply::Output`] whenever it writes something, and by
    /// [`Reply::Finished`] without any output.
    Stream {
        /// The program and its arguments.
        command: Vec<String>,
        /// The program and its children are ended after this time, and killed ten seconds later; without it they
        /// may take as long as they like.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    /// Start a program; answered by [`Reply::Spawned`].
    Spawn {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// Send a signal to a spawned program; answered by [`Reply::Done`].
    Signal {
        /// From [`Reply::Spawned`].
        process_id: u32,
        /// Signal number, for example 15.
        signal: i32,
    },
    /// Wait for a spawned program; answered by [`Reply::Finished`], or by [`Reply::Failed`] when it
    /// still runs at the end of the time (it may be waited for again).
    Wait {
        /// From [`Reply::Spawned`].
        process_id: u32,
        /// The longest time to wait.
        timeout_ms: u64,
    },
    /// Read a text file; answered by [`Reply::Content`].
    Read {
        /// Absolute path.
        path: String,
    },
    /// Switch the machine off; answered by [`Reply::Done`] before it happens.
    PowerOff {},
    /// Restart the machine; answered by [`Reply::Done`] before it happens.
    Reboot {},
}

/// One line from the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The request's number; absent in [`Reply::Ready`] and for lines that are no request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The answer.
    #[serde(flatten)]
    pub reply: Reply,
}

/// What the guest answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The agent serves from now on; sent once.
    Ready {
        /// The running kernel's release, as `uname -r` prints it.
        kernel: String,
    },
    /// A program that still runs has written something.
    Output {
        /// What it wrote since the last answer; bytes that are no UTF-8 are replaced.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        stdout: String,
        /// Likewise.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        stderr: String,
    },
    /// A program ended.
    Finished {
        /// Its exit code, or 128 plus the number of the signal that ended it.
        exit_code: i32,
        /// What it wrote, at most [`OUTPUT_LIMIT_BYTES`]; the rest is dropped and said so.
        stdout: String,
        /// Likewise.
        stderr: String,
        /// The agent killed it at the end of its time.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        timed_out: bool,
    },
    /// A program was started.
    Spawned {
        /// Its number for `signal` and `wait`.
        process_id: u32,
    },
    /// A file's content.
    Content {
        /// The text; bytes that are no UTF-8 are replaced.
        text: String,
    },
    /// Done; there is nothing to tell.
    Done {},
    /// It could not be done.
    Failed {
        /// A sentence for the user.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Command {
        serde_json::from_str::<Request>(line).unwrap().command
    }

    fn line(id: Option<u64>, reply: Reply) -> String {
        serde_json::to_string(&Response { id, reply }).unwrap()
    }

    #[test]
    fn requests_are_read_as_the_host_writes_them() {
        assert_eq!(
            request(r#"{"id":1,"run":{"command":["chmu","list"],"timeout_ms":60000}}"#),
            Command::Run {
                command: vec!["chmu".into(), "list".into()],
                timeout_ms: 60000
            }
        );
        assert_eq!(
            request(r#"{"id":3,"signal":{"process_id":12,"signal":15}}"#),
            Command::Signal {
                process_id: 12,
                signal: 15
            }
        );
        assert_eq!(request(r#"{"id":6,"power_off":{}}"#), Command::PowerOff {});
    }

    #[test]
    fn replies_are_one_object_each() {
        let ready = Reply::Ready {
            kernel: "7.3.4".into(),
        };
        assert_eq!(line(None, ready), r#"{"ready":{"kernel":"7.3.4"}}"#);
        let finished = Reply::Finished {
            exit_code: 0,
            stdout: "a\n".into(),
            stderr: String::new(),
            timed_out: false,
        };
        assert_eq!(
            line(Some(1), finished),
            r#"{"id":1,"finished":{"exit_code":0,"stdout":"a\n","stderr":""}}"#
        );
        assert_eq!(line(Some(6), Reply::Done {}), r#"{"id":6,"done":{}}"#);
    }

    #[test]
    fn two_commands_in_one_line_are_refused() {
        assert!(serde_json::from_str::<Request>(r#"{"id":1}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"power_off":{}}"#).is_err());
    }
}
