// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The truth about a running workload, in a file for those who promote its pages and judge it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chmu_machine::clock;
use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::node::NodeId;
use chmu_promotion::Folio;
use serde::{Deserialize, Serialize};

use super::checks::Checks;
use super::verification::Verification;

/// A state file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be written.
    #[error("Cannot write the workload's state to {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("Cannot read a workload's state from {}; start chmu workload with --state", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is none.
    #[error("{} is no state of a workload", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The workload cannot be reached.
    #[error("Cannot ask process {process_id} to look at its pages; does the workload still run?")]
    Ask {
        /// The workload's process.
        process_id: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The workload does not say what it found.
    #[error(
        "The workload, process {process_id}, has not said within {time:?} what its pages hold; it is \
         none, or too slow: leave its content unproved with --without-content"
    )]
    NoAnswer {
        /// The workload's process.
        process_id: u32,
        /// How long it had.
        time: Duration,
    },
    /// It contradicts itself.
    #[error("{} names pages that its workload does not have", path.display())]
    Pages {
        /// Which file.
        path: PathBuf,
    },
}

/// Whoever waits for an answer in a file looks for it this often.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How far a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its pages are filled and in their place; it waits for the signal to touch them.
    Ready,
    /// It touches its pages.
    Running,
    /// It has touched its pages for the last time and keeps them.
    Finished,
}

/// What a workload says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How far it is.
    pub phase: Phase,
    /// Its process.
    pub process_id: u32,
    /// The file that the pages belong to, if they do.
    #[serde(deserialize_with = "Option::deserialize")]
    pub file: Option<PathBuf>,
    /// Address of the first page in that process; 0 when it does not map them.
    pub address: u64,
    /// Bytes of a page; the pages follow one another from `address` on.
    pub page_bytes: u64,
    /// How many pages.
    pub pages: u64,
    /// The node that the pages were put on.
    pub node: NodeId,
    /// Names the content and the choice of hot pages.
    pub seed: u64,
    /// Numbers of the pages that are hot now, ascending; after the last touch those that were hot last.
    pub hot_pages: Vec<u64>,
    /// Since when these are hot, on `CLOCK_MONOTONIC`: from just before the first touch on.
    #[serde(deserialize_with = "Option::deserialize")]
    pub hot_since_ns: Option<u64>,
    /// The pages that were hot earlier, in the order of time.
    pub earlier_hot_sets: Vec<EarlierHotSet>,
    /// The frame that held each page at the start; none when the kernel hides frames.
    #[serde(deserialize_with = "Option::deserialize")]
    pub start_frames: Option<Vec<u64>>,
    /// Folios of several pages that held pages at the start, by frame; none when the kernel hides them.
    #[serde(deserialize_with = "Option::deserialize")]
    pub large_folios: Option<Vec<Folio>>,
    /// When the pages were ready, on `CLOCK_MONOTONIC`.
    pub ready_monotonic_ns: u64,
    /// When the first hot page was touched, on `CLOCK_MONOTONIC`.
    #[serde(deserialize_with = "Option::deserialize")]
    pub first_touch_monotonic_ns: Option<u64>,
    /// The same on `CLOCK_BOOTTIME`, which counts from the machine's start.
    #[serde(deserialize_with = "Option::deserialize")]
    pub first_touch_boottime_ns: Option<u64>,
    /// What the workload found by looking at each word that it accessed, as far as it said so.
    pub checks: Checks,
    /// What it found when it looked at all words of all pages the last time; none before it did.
    #[serde(deserialize_with = "Option::deserialize")]
    pub verified: Option<Verified>,
}

/// What was found at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When, on `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// What.
    #[serde(flatten)]
    pub verification: Verification,
}

/// Pages that were hot for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierHotSet {
    /// Their numbers, ascending.
    pub pages: Vec<u64>,
    /// From just before the first touch on.
    pub from_ns: u64,
    /// Until just after the last one.
    pub until_ns: u64,
}

impl State {
    /// Reads a state file.
    pub fn read(path: &Path) -> Result<State, StateError> {
        let text = fs::read_to_string(path).map_err(|source| StateError::Read {
            path: path.to_owned(),
            source,
        })?;
        let state: State = serde_json::from_str(&text).map_err(|source| StateError::Content {
            path: path.to_owned(),
            source,
        })?;
        match state.is_consistent() {
            true => Ok(state),
            false => Err(StateError::Pages {
                path: path.to_owned(),
            }),
        }
    }

    /// Whether it names only pages that there are, in order.
    fn is_consistent(&self) -> bool {
        let fits = |pages: &[u64]| {
            pages.is_sorted_by(|a, b| a < b) && pages.last().is_none_or(|&last| last < self.pages)
        };
        let frames = self.start_frames.as_ref();
        let earlier = &self.earlier_hot_sets;
        self.page_bytes == PAGE_BYTES
            && self.address.is_multiple_of(PAGE_BYTES)
            && self.end().is_some()
            && fits(&self.hot_pages)
            && earlier
                .iter()
                .all(|set| fits(&set.pages) && set.from_ns <= set.until_ns)
            && frames.is_none_or(|frames| frames.len() as u64 == self.pages)
    }

    /// Has the workload look at all words of all its pages, and reads what it found; `path` is its state
    /// file. A workload that has touched nothing yet is left in peace.
    pub fn checked(&self, path: &Path, time: Duration) -> Result<State, StateError> {
        if self.phase == Phase::Ready {
            return Ok(self.clone());
        }
        let process_id = self.process_id;
        let asked_ns = clock::monotonic_ns();
        let deadline = Instant::now() + time;
        ask_to_look(process_id).map_err(|source| StateError::Ask { process_id, source })?;
        loop {
            let state = State::read(path)?;
            let is_new = |verified: &Verified| verified.time_ns >= asked_ns;
            if state.process_id == process_id && state.verified.as_ref().is_some_and(is_new) {
                return Ok(state);
            }
            if Instant::now() >= deadline {
                return Err(StateError::NoAnswer { process_id, time });
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Writes the file as a whole: a reader sees the old state or the new one.
    pub fn publish(&self, path: &Path) -> Result<(), StateError> {
        let mut text = serde_json::json!(self).to_string();
        text.push('\n');
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let new = PathBuf::from(name);
        let publish = || {
            fs::write(&new, text)?;
            fs::rename(&new, path)
        };
        publish().map_err(|source| StateError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// Touching begins now.
    pub fn start(&mut self) {
        self.phase = Phase::Running;
        let now_ns = clock::monotonic_ns();
        self.hot_since_ns = Some(now_ns);
        self.first_touch_monotonic_ns = Some(now_ns);
        self.first_touch_boottime_ns = Some(clock::boottime_ns());
    }

    /// Other pages are hot from now on; no earlier ones are touched any more.
    pub fn move_hot_set(&mut self, hot_pages: &[u64], now_ns: u64) {
        let mut pages = hot_pages.to_vec();
        pages.sort_unstable();
        let pages = std::mem::replace(&mut self.hot_pages, pages);
        let from_ns = self.hot_since_ns.replace(now_ns).unwrap_or(now_ns);
        self.earlier_hot_sets.push(EarlierHotSet {
            pages,
            from_ns,
            until_ns: now_ns,
        });
    }

    /// The first address after the last page; none beyond 64 bits.
    pub fn end(&self) -> Option<u64> {
        let bytes = self.pages.checked_mul(self.page_bytes)?;
        self.address.checked_add(bytes)
    }

    /// The address of each page.
    pub fn page_addresses(&self) -> Vec<u64> {
        (0..self.pages)
            .map_while(|page| self.address.checked_add(page.checked_mul(self.page_bytes)?))
            .collect()
    }
}

/// SIGUSR2 to a process that is a workload, or observes one, by its own word.
pub(crate) fn ask_to_look(process_id: u32) -> io::Result<()> {
    // 0 and negative numbers would mean other processes than that one.
    let number = libc::pid_t::try_from(process_id)
        .ok()
        .filter(|number| *number > 0);
    let number = number.ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: a signal to another process touches no memory of this one.
    match unsafe { libc::kill(number, libc::SIGUSR2) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn state() -> State {
        State {
            phase: Phase::Ready,
            process_id: 7,
            file: None,
            address: 0x7000_0000_0000,
            page_bytes: PAGE_BYTES,
            pages: 4,
            node: NodeId(1),
            seed: 1,
            hot_pages: vec![1, 3],
            hot_since_ns: None,
            earlier_hot_sets: Vec::new(),
            start_frames: Some(vec![10, 11, 12, 13]),
            large_folios: Some(Vec::new()),
            ready_monotonic_ns: 5,
            first_touch_monotonic_ns: None,
            first_touch_boottime_ns: None,
            checks: Checks::default(),
            verified: None,
        }
    }

    #[test]
    fn a_published_state_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut state = state();
        state.publish(&path).unwrap();
        assert_eq!(State::read(&path).unwrap(), state);
        state.start();
        state.publish(&path).unwrap();
        let running = State::read(&path).unwrap();
        assert_eq!(running.phase, Phase::Running);
        assert!(running.first_touch_monotonic_ns.is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(state.page_addresses()[3], 0x7000_0000_3000);
    }

    #[test]
    fn a_hot_set_that_moved_is_remembered_with_its_time() {
        let mut state = state();
        state.start();
        let began_ns = state.hot_since_ns.unwrap();
        state.move_hot_set(&[2, 0], began_ns + 7);
        assert_eq!(
            (&state.hot_pages[..], state.hot_since_ns),
            (&[0, 2][..], Some(began_ns + 7))
        );
        let earlier = EarlierHotSet {
            pages: vec![1, 3],
            from_ns: began_ns,
            until_ns: began_ns + 7,
        };
        assert_eq!(state.earlier_hot_sets, [earlier]);
    }

    #[test]
    fn a_state_that_contradicts_itself_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        type Change = fn(&mut State);
        let changes: [Change; 8] = [
            |state| state.move_hot_set(&[4], 9),
            |state| {
                state.move_hot_set(&[1], 9);
                state.earlier_hot_sets[0].from_ns = 10;
            },
            |state| state.hot_pages = vec![4],
            |state| state.hot_pages = vec![3, 1],
            |state| state.start_frames = Some(vec![10]),
            |state| state.page_bytes = 0,
            |state| state.address = 1,
            |state| state.pages = u64::MAX,
        ];
        for change in changes {
            let mut state = state();
            change(&mut state);
            state.publish(&path).unwrap();
            let error = State::read(&path).unwrap_err();
            assert!(matches!(error, StateError::Pages { .. }), "{state:?}");
        }
        for field in [
            "file",
            "hot_since_ns",
            "start_frames",
            "checks",
            "pages",
            "large_folios",
        ] {
            let mut object = serde_json::json!(state());
            object.as_object_mut().unwrap().remove(field);
            fs::write(&path, object.to_string()).unwrap();
            let error = State::read(&path).unwrap_err();
            assert!(matches!(error, StateError::Content { .. }), "{field}");
        }
        fs::write(&path, "{}").unwrap();
        let error = State::read(&path).unwrap_err();
        assert!(error.to_string().ends_with("is no state of a workload"));
        assert!(State::read(Path::new("/nowhere")).is_err());
    }
}
