// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotness from JSON lines, of a file or a pipe: what makes policies testable without a machine.
//!
//! The first line may describe the stream: `{"v":1,"stream":NAME,...}` with
//! - `counts`: what weights count, `"accesses"` (as without it), `{"intervals":{"interval_ns":N}}` or
//!   `{"samples":{"period":N}}`;
//! - `epoch_ns`: the time between two reports, as far as there is one;
//! - `nodes`: the machine that the frames are of, each node as
//!   `{"node":N,"cpus":BOOL,"start":FRAME,"pages":N,"distances":{"N":DISTANCE}}`.
//!
//! A first line that takes longer than a run waits for it cannot name the stream any more, nor describe a
//! machine.
//!
//! Every other line is a report: `{"t":NS,"hot":[...]}` with
//! - `t`: when it was handed out, in nanoseconds of any clock; never before that of an earlier line;
//! - `earliest`: no access that it counts was made before; without it, the time of the report before;
//! - `hot`: what was hot, each `{"frame":N,"weight":N}` or `{"pid":N,"address":N,"weight":N}`, where
//!   `pages` says how many pages follow one another (1 without it), and `sharing` how many share the
//!   weight (1 without it: each has it);
//! - `accessor`: the node of the processors that made the accesses;
//! - `overflow`, `dropped`, `outside`: what the source could not say.
//!
//! Empty lines are passed over. Anything else is an error that names the line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;
use chmu_machine::topology::{DescribedNode, DescriptionError, Topology};
use chmu_spec::address::Pfn;
use serde::Deserialize;

use super::{HotnessSource, SourceError};
use crate::report::{
    Facts, Health, HotExtent, Knowledge, Lost, Place, Report, SourceKind, Weight, WeightKind,
};

#[cfg(test)]
mod tests;

/// The version of the format.
const VERSION: u32 = 1;
/// No line is longer.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A stream that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It cannot be opened or read.
    #[error("Cannot read the stream {name}")]
    Read {
        /// Which one.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A line is no report.
    #[error("Line {line} of the stream {name} is no report")]
    Line {
        /// Which one.
        name: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A line says what cannot be.
    #[error("Line {line} of the stream {name}: {what}")]
    Content {
        /// Which one.
        name: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The first line came late, when the run had begun.
    #[error(
        "The stream {name} describes a machine of its own, which takes --dry-run and no other source"
    )]
    LateNodes {
        /// Which one.
        name: String,
    },
    /// The machine that it describes is none.
    #[error("The stream {name} describes no machine")]
    Nodes {
        /// Which one.
        name: String,
        /// What is wrong.
        source: DescriptionError,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    v: u32,
    stream: String,
    #[serde(default = "accesses")]
    counts: WeightKind,
    epoch_ns: Option<u64>,
    nodes: Option<Vec<DescribedNode>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    t: u64,
    earliest: Option<u64>,
    hot: Vec<Hot>,
    accessor: Option<NodeId>,
    #[serde(default)]
    overflow: bool,
    #[serde(default)]
    dropped: u64,
    #[serde(default)]
    outside: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hot {
    frame: Option<u64>,
    pid: Option<u32>,
    address: Option<u64>,
    weight: u64,
    pages: Option<u64>,
    sharing: Option<u64>,
}

fn accesses() -> WeightKind {
    WeightKind::Accesses
}

/// What lines come from.
trait Input: BufRead + Send {
    /// What can be waited for, where a wait may take long.
    fn descriptor(&self) -> Option<RawFd>;
    /// Bytes that were read and not taken yet.
    fn has_buffered(&self) -> bool;
}

impl Input for BufReader<File> {
    fn descriptor(&self) -> Option<RawFd> {
        Some(self.get_ref().as_raw_fd())
    }

    fn has_buffered(&self) -> bool {
        !self.buffer().is_empty()
    }
}

impl Input for &'static [u8] {
    fn descriptor(&self) -> Option<RawFd> {
        None
    }

    fn has_buffered(&self) -> bool {
        true
    }
}

/// Reports from lines.
pub struct StreamSource {
    facts: Facts,
    input: Box<dyn Input>,
    nodes: Vec<DescribedNode>,
    /// The line that is being read, as far as it came.
    text: Vec<u8>,
    line: u64,
    /// The first report, where the first line was one.
    pending: Option<Report>,
    /// The first line was read.
    has_begun: bool,
    last_ns: Option<u64>,
    is_over: bool,
}

impl std::fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSource")
            .field("facts", &self.facts)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl StreamSource {
    /// Where a stream is read: standard input for `-`.
    pub fn place(path: &Path) -> &Path {
        match path == Path::new("-") {
            true => Path::new("/dev/stdin"),
            false => path,
        }
    }

    /// Opens a file, or standard input for `-`, and reads the first line.
    pub fn open(path: &Path, stop: &StopFlag) -> Result<StreamSource, StreamError> {
        StreamSource::open_within(path, stop, None)
    }

    /// The same, with so long to wait for the first line. Where it comes later, the stream is called by its
    /// path, whatever that line says.
    pub fn open_within(
        path: &Path,
        stop: &StopFlag,
        patience: Option<Duration>,
    ) -> Result<StreamSource, StreamError> {
        let name = path.display().to_string();
        let path = StreamSource::place(path);
        // A pipe that nobody writes yet is waited for where a signal is heard, not here.
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
        match opened {
            Ok(file) => StreamSource::begin(name, Box::new(BufReader::new(file)), stop, patience),
            Err(source) => Err(StreamError::Read { name, source }),
        }
    }

    fn begin(
        name: String,
        input: Box<dyn Input>,
        stop: &StopFlag,
        patience: Option<Duration>,
    ) -> Result<StreamSource, StreamError> {
        let mut source = StreamSource {
            facts: Facts {
                name,
                kind: SourceKind::Stream,
                unit_bytes: None,
                granted_epoch_ns: None,
                wished_epoch_ns: None,
                knows: Knowledge {
                    frames: true,
                    processes: true,
                    accessors_node: true,
                    ..Knowledge::default()
                },
                counts: WeightKind::Accesses,
            },
            input,
            nodes: Vec::new(),
            text: Vec::new(),
            line: 0,
            pending: None,
            has_begun: false,
            last_ns: None,
            is_over: false,
        };
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        if let Some(text) = source.next_line(stop, until)? {
            source.has_begun = true;
            // What has the mark of a header is one, and is told what is wrong with it.
            match serde_json::from_slice::<serde_json::Value>(&text) {
                Ok(value) if value.get("v").is_some() => source.take_header(value)?,
                _ => source.pending = Some(source.report(&text)?),
            }
        }
        Ok(source)
    }

    /// The machine that the stream describes; none when it describes none.
    pub fn topology(&self) -> Result<Option<Topology>, StreamError> {
        if self.nodes.is_empty() {
            return Ok(None);
        }
        match Topology::described(&self.nodes) {
            Ok(topology) => Ok(Some(topology)),
            Err(source) => Err(StreamError::Nodes {
                name: self.facts.name.clone(),
                source,
            }),
        }
    }

    fn take_header(&mut self, value: serde_json::Value) -> Result<(), StreamError> {
        let header: Header = serde_json::from_value(value).map_err(|source| self.unread(source))?;
        if header.v != VERSION {
            let found = header.v;
            return Err(self.wrong(format!(
                "it has version {found}, and this program reads version {VERSION}"
            )));
        }
        if header.stream.chars().any(char::is_control) {
            return Err(self
                .wrong("its name has characters that are not printed; write letters".to_owned()));
        }
        let is_nothing = match header.counts {
            WeightKind::Accesses => false,
            WeightKind::Intervals { interval_ns } => interval_ns == 0,
            WeightKind::Samples { period } => period == 0,
        };
        if is_nothing {
            return Err(self.wrong(
                "an interval or a period of 0 counts nothing; write at least 1".to_owned(),
            ));
        }
        if header.nodes.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.wrong(
                "a machine without nodes has no memory; describe its nodes, or leave nodes out"
                    .to_owned(),
            ));
        }
        self.facts.name = header.stream;
        self.facts.counts = header.counts;
        self.facts.granted_epoch_ns = header.epoch_ns;
        self.nodes = header.nodes.unwrap_or_default();
        Ok(())
    }

    /// A header that came when everybody knew the stream by another name.
    fn take_late_header(&mut self, value: serde_json::Value) -> Result<(), StreamError> {
        let facts = self.facts.clone();
        self.take_header(value)?;
        self.facts = Facts {
            counts: self.facts.counts,
            ..facts
        };
        match self.nodes.is_empty() {
            true => Ok(()),
            false => Err(StreamError::LateNodes {
                name: self.facts.name.clone(),
            }),
        }
    }

    /// The next report's line; the first line may describe the stream instead.
    fn next_report(&mut self, stop: &StopFlag) -> Result<Option<Vec<u8>>, StreamError> {
        let Some(text) = self.next_line(stop, None)? else {
            return Ok(None);
        };
        if !std::mem::replace(&mut self.has_begun, true)
            && let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text)
            && value.get("v").is_some()
        {
            self.take_late_header(value)?;
            return self.next_line(stop, None);
        }
        Ok(Some(text))
    }

    /// The next line that is not empty; none at the end, when it is time to stop, or when it has not come
    /// until then.
    fn next_line(
        &mut self,
        stop: &StopFlag,
        until: Option<Instant>,
    ) -> Result<Option<Vec<u8>>, StreamError> {
        loop {
            if let Some(descriptor) = self.input.descriptor()
                && !self.input.has_buffered()
            {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                let waited = stop.readable(&[descriptor], left);
                let is_ready = waited.map_err(|source| self.unreadable(source))?;
                let is_late = left.is_some_and(|left| left.is_zero());
                if !is_ready && (stop.is_raised() || is_late) {
                    return Ok(None);
                }
            }
            let left = (LINE_BYTES_MAX + 1).saturating_sub(self.text.len() as u64);
            // One piece at a time, so that a line that comes slowly does not keep anybody.
            let available = self.input.fill_buf();
            let (taken, is_end) = match available {
                Ok([]) => (0, true),
                Ok(bytes) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let count = end.map_or(bytes.len(), |end| end + 1);
                    let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.text.extend_from_slice(&bytes[..count]);
                    (count, false)
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) =>
                {
                    continue;
                }
                Err(source) => return Err(self.unreadable(source)),
            };
            self.input.consume(taken);
            let is_whole = self.text.ends_with(b"\n") || is_end;
            if !is_whole && self.text.len() as u64 > LINE_BYTES_MAX {
                self.line += 1;
                return Err(self.wrong(format!("it has more than {LINE_BYTES_MAX} bytes")));
            }
            if is_whole {
                self.is_over = is_end;
                let text = std::mem::take(&mut self.text);
                self.line += u64::from(!text.is_empty());
                match text.trim_ascii().is_empty() {
                    true if is_end => return Ok(None),
                    true => {}
                    false => return Ok(Some(text)),
                }
            }
        }
    }

    fn report(&mut self, text: &[u8]) -> Result<Report, StreamError> {
        let line: Line = serde_json::from_slice(text).map_err(|source| self.unread(source))?;
        let last_ns = self.last_ns.unwrap_or(0);
        if line.t < last_ns {
            let (t, number) = (line.t, self.line - 1);
            return Err(self.wrong(format!(
                "its time {t} is before that of a line before it, {last_ns}; reports follow one \
                 another, so sort the lines by t (line {number} is later)"
            )));
        }
        let earliest = line.earliest.unwrap_or(last_ns);
        if earliest > line.t {
            let t = line.t;
            return Err(self.wrong(format!(
                "earliest is {earliest}, after the report itself at {t}"
            )));
        }
        let mut extents = Vec::new();
        for hot in &line.hot {
            let extent = extent(hot, self.facts.counts);
            extents.push(extent.map_err(|what| self.wrong(what))?);
        }
        self.last_ns = Some(line.t);
        Ok(Report {
            handed_out_ns: line.t,
            earliest_access_ns: earliest,
            extents,
            accessor: line.accessor,
            lost: Lost {
                overflow: line.overflow,
                units_dropped: line.dropped,
                outside_memory: line.outside,
            },
        })
    }

    fn unread(&self, source: serde_json::Error) -> StreamError {
        StreamError::Line {
            name: self.facts.name.clone(),
            line: self.line,
            source,
        }
    }

    fn wrong(&self, what: String) -> StreamError {
        StreamError::Content {
            name: self.facts.name.clone(),
            line: self.line,
            what,
        }
    }

    fn unreadable(&self, source: io::Error) -> StreamError {
        StreamError::Read {
            name: self.facts.name.clone(),
            source,
        }
    }
}

/// Something hot, or what is wrong with it.
fn extent(hot: &Hot, kind: WeightKind) -> Result<HotExtent, String> {
    let pages = hot.pages.unwrap_or(1);
    let place = match (hot.frame, hot.pid, hot.address) {
        (Some(frame), None, None) => Place::Frames {
            start: Pfn(frame),
            pages,
        },
        (None, Some(process_id), Some(start)) => Place::Addresses {
            process_id,
            start,
            pages,
        },
        _ => {
            return Err(
                "what is hot is named either by a frame, or by both pid and address".to_owned(),
            );
        }
    };
    if pages == 0 || hot.sharing == Some(0) {
        return Err("nothing is hot that has no pages: write at least 1".to_owned());
    }
    Ok(HotExtent {
        place,
        weight: Weight {
            kind,
            value: hot.weight,
        },
        sharing_pages: hot.sharing.unwrap_or(1),
        unit: None,
    })
}

impl HotnessSource for StreamSource {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Waits for the next line, however long that takes: the stream has its own time.
    fn poll(&mut self, _deadline_ns: u64, stop: &StopFlag) -> Result<Report, SourceError> {
        if let Some(report) = self.pending.take() {
            return Ok(report);
        }
        match self.next_report(stop)? {
            Some(text) => Ok(self.report(&text)?),
            None => Ok(Report {
                handed_out_ns: self.last_ns.unwrap_or(0),
                earliest_access_ns: self.last_ns.unwrap_or(0),
                ..Report::default()
            }),
        }
    }

    fn health(&self) -> Health {
        match self.is_over && self.pending.is_none() {
            true => Health::Gone("the stream is at its end".to_owned()),
            false => Health::Good,
        }
    }
}
