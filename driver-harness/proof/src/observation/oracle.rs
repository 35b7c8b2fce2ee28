// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The oracles of this machine's emulated devices: a request a line, an answer a line, both JSON.
//!
//! A guest reaches them through serial ports of the virtio kind, which its host connects to the
//! devices' sockets; on the host it is the sockets themselves. A port may hold answers that an
//! earlier program did not wait for: the number of a request comes back with its answer.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chmu_machine::wait;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What the name of a port starts with that leads to an oracle; a number follows.
pub const PORT_NAME: &str = "chmu.oracle.";
/// The version of requests and answers.
const VERSION: u32 = 1;
/// An oracle answers at once, unless its machine is very busy.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Guests act on a mark with the next tick of their clocks.
const READY_TIME: Duration = Duration::from_secs(30);
/// Whoever waits for that looks this often.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// An answer has 4096 pages at most, of less than 64 bytes each.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// An oracle that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// There is none.
    #[error(
        "No oracle: there is no port {PORT_NAME}N. Only an emulated device knows how often each page was \
         accessed; start it with --oracle-socket and let a port of the guest lead there, as cargo lab boot \
         --oracle does, or name the socket with --oracle. On silicon nobody can tell, and nothing of a \
         foreign program can be proved exactly"
    )]
    None,
    /// It cannot be opened.
    #[error("Cannot reach the oracle at {}", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be talked to.
    #[error("Cannot talk to the oracle at {}", path.display())]
    Talk {
        /// Where.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It says no.
    #[error("The oracle at {} refuses: {reason}", path.display())]
    Refused {
        /// Where.
        path: PathBuf,
        /// In its words.
        reason: String,
    },
    /// It says nothing sensible.
    #[error("The oracle at {} gives no answer of version 1", path.display())]
    Answer {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Nobody reports accesses to it.
    #[error(
        "The oracle at {} hears of no accesses: no producer reports them, such as QEMU's plugin",
        path.display()
    )]
    Mute {
        /// Where.
        path: PathBuf,
    },
}

/// How exact counts are, as an oracle says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OracleState {
    /// What is counted since; none while nothing is.
    #[serde(deserialize_with = "Option::deserialize")]
    pub mark: Option<u64>,
    /// All accesses are reported now.
    pub reporting: bool,
    /// How often that ended since the mark.
    pub gaps: u64,
    /// Accesses lost since the mark.
    pub accesses_lost: u64,
    /// Signs of a broken producer since the mark.
    pub records_damaged: u64,
    /// Accesses for which there was no counter.
    pub accesses_without_counter: u64,
    /// First frame, and the one after the last, of each window.
    pub windows: Vec<(u64, u64)>,
}

/// What every answer has, to tell it from one to an earlier program.
#[derive(Debug, Deserialize)]
struct Head {
    v: u32,
    #[serde(deserialize_with = "Option::deserialize")]
    id: Option<u64>,
    /// Only in a refusal.
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct StateAnswer {
    state: OracleState,
}

#[derive(Debug, Deserialize)]
struct CountsAnswer {
    state: OracleState,
    counts: Vec<(u64, u64)>,
    #[serde(deserialize_with = "Option::deserialize")]
    next_frame: Option<u64>,
}

/// The oracles of all devices, counting since a mark of each.
#[derive(Debug)]
pub struct Oracle {
    lines: Vec<Line>,
    windows: Vec<Range<u64>>,
}

/// The way to one device.
#[derive(Debug)]
struct Line {
    path: PathBuf,
    file: File,
    received: Vec<u8>,
    last_id: u64,
    mark: u64,
    state: Option<OracleState>,
}

/// The ports of this machine that lead to oracles; `sysfs` is `/sys` but for tests.
pub fn ports(sysfs: &Path) -> Vec<PathBuf> {
    let ports = fs::read_dir(sysfs.join("class/virtio-ports"));
    let mut found: Vec<_> = ports
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|port| {
            let name = fs::read_to_string(port.path().join("name")).ok()?;
            let number: u64 = name.trim_end().strip_prefix(PORT_NAME)?.parse().ok()?;
            Some((number, Path::new("/dev").join(port.file_name())))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

impl Oracle {
    /// Has all of them count from zero, and waits until all accesses are reported.
    pub fn mark(paths: &[PathBuf]) -> Result<Oracle, OracleError> {
        if paths.is_empty() {
            return Err(OracleError::None);
        }
        let lines = paths.iter().map(|path| Line::open(path));
        let mut lines = lines.collect::<Result<Vec<_>, _>>()?;
        let mut windows = Vec::new();
        for line in &mut lines {
            let state = line.mark()?;
            let more = state.windows.iter().map(|(first, end)| *first..*end);
            // Devices may share a window.
            windows.extend(
                more.filter(|window| !windows.contains(window))
                    .collect::<Vec<_>>(),
            );
        }
        lines.iter_mut().try_for_each(Line::wait_until_reporting)?;
        Ok(Oracle { lines, windows })
    }

    /// Frames whose accesses are counted.
    pub fn windows(&self) -> &[Range<u64>] {
        &self.windows
    }

    /// How often each frame of a range was accessed since the mark, by all devices together.
    pub fn counts(&mut self, frames: Range<u64>) -> Result<BTreeMap<u64, u64>, OracleError> {
        let mut sum = BTreeMap::<u64, u64>::new();
        for line in &mut self.lines {
            line.counts(frames.clone(), |frame, count| {
                let known = sum.entry(frame).or_default();
                *known = known.saturating_add(count);
            })?;
        }
        Ok(sum)
    }

    /// Accesses of any page that may be missing since the mark, and how often accesses were not reported
    /// for a time; as of the last counts.
    pub fn missing(&self) -> (u64, u64) {
        let states = self.lines.iter().filter_map(|line| line.state.as_ref());
        states.fold((0, 0), |(missing, gaps), state| {
            let more = [
                state.accesses_lost,
                state.records_damaged,
                state.accesses_without_counter,
            ];
            let more = more.into_iter().fold(missing, u64::saturating_add);
            (more, gaps.saturating_add(state.gaps))
        })
    }

    /// Ends the counting.
    pub fn stop(mut self) -> Result<(), OracleError> {
        self.lines.iter_mut().try_for_each(|line| {
            let mark = line.mark;
            line.ask_state(&format!(r#""request":"stop","mark":{mark}"#))
        })
    }
}

impl Line {
    fn open(path: &Path) -> Result<Line, OracleError> {
        let open = || {
            let is_socket = fs::metadata(path)?.file_type().is_socket();
            match is_socket {
                true => Ok(File::from(OwnedFd::from(UnixStream::connect(path)?))),
                false => OpenOptions::new().read(true).write(true).open(path),
            }
        };
        let file = open().map_err(|source: io::Error| OracleError::Open {
            path: path.to_owned(),
            source,
        })?;
        Ok(Line {
            path: path.to_owned(),
            file,
            received: Vec::new(),
            // Unlike that of a program that asked before.
            last_id: u64::from(std::process::id()) << 32,
            mark: 0,
            state: None,
        })
    }

    fn mark(&mut self) -> Result<OracleState, OracleError> {
        self.ask_state(r#""request":"mark""#)?;
        let path = self.path.clone();
        let state = self.state.clone();
        let marked = state.and_then(|state| Some((state.mark?, state)));
        let (mark, state) = marked.ok_or(OracleError::Refused {
            path,
            reason: "it counts since no mark".to_owned(),
        })?;
        self.mark = mark;
        Ok(state)
    }

    fn wait_until_reporting(&mut self) -> Result<(), OracleError> {
        let deadline = Instant::now() + READY_TIME;
        while !self.state.as_ref().is_some_and(|state| state.reporting) {
            if Instant::now() >= deadline {
                let path = self.path.clone();
                return Err(OracleError::Mute { path });
            }
            std::thread::sleep(LOOK_AGAIN);
            self.ask_state(r#""request":"state""#)?;
        }
        Ok(())
    }

    /// An empty range is asked for as well: the state comes with it.
    fn counts(
        &mut self,
        frames: Range<u64>,
        mut see: impl FnMut(u64, u64),
    ) -> Result<(), OracleError> {
        let mut next = Some(frames.start);
        while let Some(from) = next {
            let (mark, end) = (self.mark, frames.end);
            let answer: CountsAnswer = self.ask(&format!(
                r#""request":"counts","mark":{mark},"from_frame":{from},"until_frame":{end}"#
            ))?;
            self.state = Some(answer.state);
            for (frame, count) in answer.counts {
                see(frame, count);
            }
            // Each answer leads further.
            next = answer.next_frame.filter(|next| *next > from && *next < end);
        }
        Ok(())
    }

    fn ask_state(&mut self, words: &str) -> Result<(), OracleError> {
        let answer: StateAnswer = self.ask(words)?;
        self.state = Some(answer.state);
        Ok(())
    }

    /// Asks, and waits for the answer to that; others are to programs that did not wait for theirs.
    fn ask<A: DeserializeOwned>(&mut self, words: &str) -> Result<A, OracleError> {
        self.last_id = self.last_id.wrapping_add(1);
        let request = format!("{{\"v\":{VERSION},\"id\":{},{words}}}\n", self.last_id);
        let path = self.path.clone();
        let talk = |source| OracleError::Talk {
            path: path.clone(),
            source,
        };
        self.file.write_all(request.as_bytes()).map_err(talk)?;
        let deadline = Instant::now() + ANSWER_TIME;
        loop {
            let line = self.line(deadline).map_err(talk)?;
            // The rest of an answer that somebody else read half of is no JSON.
            let Ok(head) = serde_json::from_slice::<Head>(&line) else {
                continue;
            };
            if head.v != VERSION || head.id != Some(self.last_id) {
                continue;
            }
            return match head.error {
                Some(reason) => Err(OracleError::Refused { path, reason }),
                None => serde_json::from_slice(&line)
                    .map_err(|source| OracleError::Answer { path, source }),
            };
        }
    }

    fn line(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            let new = self.received.get(searched..).unwrap_or_default();
            if let Some(end) = new.iter().position(|byte| *byte == b'\n') {
                return Ok(self.received.drain(..=searched + end).collect());
            }
            searched = self.received.len();
            if searched > ANSWER_BYTES_MAX {
                return Err(io::Error::other("an answer has no end"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if !wait::readable(&[self.file.as_raw_fd()], Some(left))? {
                continue;
            }
            let mut piece = [0; 16 << 10];
            match self.file.read(&mut piece)? {
                0 => return Err(io::Error::other("nobody is at the other end")),
                count => self.received.extend_from_slice(&piece[..count]),
            }
        }
    }
}
