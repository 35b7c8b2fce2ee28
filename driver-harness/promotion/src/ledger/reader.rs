// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Reading a ledger, whoever wrote it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Action, Event, VERSION};

/// No line is longer: the largest is that of a batch, a few dozen bytes for each of its folios.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A ledger that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("Cannot read the ledger {}; chmu promote --ledger writes one", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A line is none of a ledger.
    #[error("Line {line} of the ledger {} is no event", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A line is none that any ledger has.
    #[error("Line {line} of the ledger {} has more than {LINE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
    },
    /// Another version of the format.
    #[error(
        "Line {line} of the ledger {} has version {found}; this program reads version {VERSION}",
        path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// Its version.
        found: u32,
    },
    /// Lines do not follow one another as they were written.
    #[error("Line {line} of the ledger {} {what}", path.display())]
    Order {
        /// Which file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with its place.
        what: &'static str,
    },
}

/// A whole ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Its events.
    pub events: Vec<Event>,
    /// The last line is only a part of one: whoever wrote it was stopped in the middle.
    pub is_cut: bool,
}

impl Ledger {
    /// Reads a file. One that ends in the middle of a line is read up to there, with a warning.
    pub fn read(path: &Path) -> Result<Ledger, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Read {
            path: path.to_owned(),
            source,
        })?;
        let ledger = Ledger::parse(BufReader::new(file), path)?;
        if ledger.is_cut {
            log::warn!(
                "The ledger {} ends in the middle of line {}, which is left out",
                path.display(),
                ledger.events.len() + 1
            );
        }
        Ok(ledger)
    }

    /// Reads lines from anything; `path` is what errors call it.
    pub fn parse(input: impl BufRead, path: &Path) -> Result<Ledger, ReadError> {
        let mut input = input;
        let mut ledger = Ledger::default();
        let mut text = Vec::new();
        for line in 1_u64.. {
            text.clear();
            let read = input
                .by_ref()
                .take(LINE_BYTES_MAX + 1)
                .read_until(b'\n', &mut text);
            let bytes = read.map_err(|source| ReadError::Read {
                path: path.to_owned(),
                source,
            })?;
            let path = || path.to_owned();
            match text.last() {
                None => break,
                Some(b'\n') => {}
                Some(_) if bytes as u64 > LINE_BYTES_MAX => {
                    return Err(ReadError::TooLong { path: path(), line });
                }
                Some(_) => {
                    ledger.is_cut = true;
                    break;
                }
            }
            let event = serde_json::from_slice::<Event>(&text);
            let event = event.map_err(|source| ReadError::Line {
                path: path(),
                line,
                source,
            })?;
            if event.version != VERSION {
                let found = event.version;
                return Err(ReadError::Version {
                    path: path(),
                    line,
                    found,
                });
            }
            if let Some(what) = misplaced(ledger.events.last(), &event) {
                return Err(ReadError::Order {
                    path: path(),
                    line,
                    what,
                });
            }
            ledger.events.push(event);
        }
        Ok(ledger)
    }

    /// Whether the last line is there, which tells the sums.
    pub fn is_complete(&self) -> bool {
        let last = self.events.last();
        !self.is_cut && last.is_some_and(|event| matches!(event.action, Action::End(_)))
    }
}

/// What is wrong with an event in this place, if anything is.
fn misplaced(last: Option<&Event>, event: &Event) -> Option<&'static str> {
    let is_begin = matches!(event.action, Action::Begin(_));
    match last {
        None if !is_begin => Some("is the first, but does not begin a run"),
        None => None,
        Some(_) if is_begin => Some("begins a second run"),
        Some(last) if matches!(last.action, Action::End(_)) => {
            Some("comes after the end of the run")
        }
        Some(last) if event.time_ns < last.time_ns => Some("is earlier than the one before"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::LedgerWriter;
    use super::*;
    use crate::engine::{Engine, Policy};
    use crate::testing::facts;

    fn written() -> Vec<u8> {
        let mut engine = Engine::new(Policy::default(), 7);
        engine.begin(vec![facts("one")], "damon", false, 5);
        engine.source_gone(crate::aggregate::SourceId(0), "gone".into(), 6);
        engine.end(9);
        let mut bytes = Vec::new();
        let mut writer = LedgerWriter::new(&mut bytes, Path::new("ledger"));
        writer.write(&engine.drain_ledger()).unwrap();
        drop(writer);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Ledger, String> {
        Ledger::parse(bytes, Path::new("ledger")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_written_is_read() {
        let ledger = parse(&written()).unwrap();
        assert_eq!(ledger.events.len(), 3);
        assert!(ledger.is_complete());
    }

    proptest! {
        #[test]
        fn a_ledger_that_was_cut_is_read_up_to_there(cut in any::<prop::sample::Index>()) {
            let bytes = written();
            let cut = cut.index(bytes.len());
            let ledger = parse(&bytes[..cut]).unwrap();
            let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(ledger.events.len(), whole);
            prop_assert_eq!(ledger.is_cut, !bytes[..cut].ends_with(b"\n") && cut > 0);
            prop_assert!(!ledger.is_complete());
        }

        #[test]
        fn no_bytes_make_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = written();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn lines_that_cannot_be_are_named() {
        let text = String::from_utf8(written()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let join = |lines: &[&str]| parse((lines.join("\n") + "\n").as_bytes()).unwrap_err();
        let older = lines[1].replace("\"v\":1", "\"v\":2");
        for (lines, message) in [
            (
                vec![lines[1]],
                "Line 1 of the ledger ledger is the first, but does not begin a run",
            ),
            (
                vec![lines[0], lines[0]],
                "Line 2 of the ledger ledger begins a second run",
            ),
            (
                vec![lines[0], lines[2], lines[1]],
                "Line 3 of the ledger ledger comes after the end of the run",
            ),
            (
                vec![lines[0], "{}"],
                "Line 2 of the ledger ledger is no event",
            ),
            (
                vec![lines[0], &older],
                "Line 2 of the ledger ledger has version 2; this program reads version 1",
            ),
        ] {
            assert_eq!(join(&lines), message);
        }
    }
}
