// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why a machine failed, with what its logs say last.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Lines of each log that a failure shows.
pub(super) const SHOWN_LINES: usize = 15;
/// The part of a log that is looked at.
const TAIL_BYTES: u64 = 64 << 10;

/// A machine that failed, and where its logs are.
#[derive(Debug, thiserror::Error)]
pub struct Failure {
    /// What happened.
    pub cause: Cause,
    /// What the guest's kernel said if it crashed: the oops, up to its last words.
    pub crash: Vec<String>,
    /// The ends of the logs.
    pub logs: Vec<LogEnd>,
    /// The folder with everything, which stays.
    pub folder: PathBuf,
}

/// What happened to a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A process ended before its time.
    #[error("While the lab {activity}, {name} ended ({status})")]
    Ended {
        /// What it was.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// What was going on.
        activity: String,
    },
    /// Something took too long.
    #[error("The lab {activity} for {} s in vain", timeout.as_secs())]
    TimedOut {
        /// What was going on.
        activity: String,
        /// The longest time for it.
        timeout: Duration,
    },
    /// The guest's kernel gave up.
    #[error("The guest's kernel crashed")]
    Crashed,
    /// The guest restarted although nobody asked it to.
    #[error("While the lab {activity}, the guest restarted by itself")]
    Restarted {
        /// What was going on.
        activity: String,
    },
    /// The connection to the agent failed.
    #[error("While the lab {activity}, the connection to the guest's agent failed: {reason}")]
    Connection {
        /// What was going on.
        activity: String,
        /// What is wrong.
        reason: String,
    },
}

/// The last lines of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// The file.
    pub path: PathBuf,
    /// Its last lines, without control characters.
    pub lines: Vec<String>,
}

impl LogEnd {
    pub(super) fn read(path: &Path, count: usize) -> Self {
        Self {
            path: path.to_owned(),
            lines: last_lines(path, count).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if !self.crash.is_empty() {
            write!(f, "\n--- the guest's kernel said")?;
            for line in &self.crash {
                write!(f, "\n    {line}")?;
            }
        }
        for log in &self.logs {
            if log.lines.is_empty() {
                continue;
            }
            write!(f, "\n--- last lines of {}", log.path.display())?;
            for line in &log.lines {
                write!(f, "\n    {line}")?;
            }
        }
        write!(
            f,
            "\n--- all files of this run are in {}",
            self.folder.display()
        )
    }
}

/// The last `count` lines that contain anything.
pub(super) fn last_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().map(printable).collect();
    let mut filled = lines
        .into_iter()
        .filter(|line| !line.trim().is_empty())
        .rev();
    let mut last: Vec<_> = filled.by_ref().take(count).collect();
    last.reverse();
    Ok(last)
}

/// Without terminal control: firmware clears the screen and moves the cursor.
fn printable(line: &str) -> String {
    let mut kept = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            // CSI: parameters up to a letter; other sequences have one more character.
            '\x1b' => {
                if characters.next() == Some('[') {
                    characters.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => kept.push('\t'),
            other if other.is_control() => {}
            other => kept.push(other),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_have_no_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        std::fs::write(&path, "a\nb\r\n\n\x1b[2J\x1b[01;01HSeaBIOS\r\n\x1bcc\n").unwrap();
        assert_eq!(last_lines(&path, 3).unwrap(), ["b", "SeaBIOS", "c"]);
        assert_eq!(last_lines(&path, 9).unwrap().len(), 4);
    }

    #[test]
    fn a_failure_shows_logs_and_where_they_are() {
        let failure = Failure {
            cause: Cause::TimedOut {
                activity: "waited for the guest".into(),
                timeout: Duration::from_secs(180),
            },
            crash: vec!["BUG: what".into(), "Kernel panic - not syncing: why".into()],
            logs: vec![LogEnd {
                path: "/run/x/qemu.log".into(),
                lines: vec!["qemu: no".into()],
            }],
            folder: "/run/x".into(),
        };
        assert_eq!(
            failure.to_string(),
            "The lab waited for the guest for 180 s in vain\n\
             --- the guest's kernel said\n    BUG: what\n    Kernel panic - not syncing: why\n\
             --- last lines of /run/x/qemu.log\n    qemu: no\n\
             --- all files of this run are in /run/x"
        );
    }
}
