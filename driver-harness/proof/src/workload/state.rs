// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The truth about a running workload, in a file for those who promote its pages and judge it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chmu_machine::clock;
use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::node::NodeId;
use serde::{Deserialize, Serialize};

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
    /// It contradicts itself.
    #[error("{} names pages that its workload does not have", path.display())]
    Pages {
        /// Which file.
        path: PathBuf,
    },
}

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
    /// Address of the first page in that process.
    pub address: u64,
    /// Bytes of a page; the pages follow one another from `address` on.
    pub page_bytes: u64,
    /// How many pages.
    pub pages: u64,
    /// The node that the pages were put on.
    pub node: NodeId,
    /// Names the content and the choice of hot pages.
    pub seed: u64,
    /// Numbers of the hot pages, ascending.
    pub hot_pages: Vec<u64>,
    /// The frame that held each page at the start; none when the kernel hides frames.
    pub start_frames: Option<Vec<u64>>,
    /// When the pages were ready, on `CLOCK_MONOTONIC`.
    pub ready_monotonic_ns: u64,
    /// When the first hot page was touched, on `CLOCK_MONOTONIC`.
    pub first_touch_monotonic_ns: Option<u64>,
    /// The same on `CLOCK_BOOTTIME`, which counts from the machine's start.
    pub first_touch_boottime_ns: Option<u64>,
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
        let frames = state.start_frames.as_ref();
        let consistent = state.page_bytes == PAGE_BYTES
            && state.address.is_multiple_of(PAGE_BYTES)
            && state.end().is_some()
            && state.hot_pages.is_sorted_by(|a, b| a < b)
            && state
                .hot_pages
                .last()
                .is_none_or(|&last| last < state.pages)
            && frames.is_none_or(|frames| frames.len() as u64 == state.pages);
        match consistent {
            true => Ok(state),
            false => Err(StateError::Pages {
                path: path.to_owned(),
            }),
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
        self.first_touch_monotonic_ns = Some(clock::monotonic_ns());
        self.first_touch_boottime_ns = Some(clock::boottime_ns());
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn state() -> State {
        State {
            phase: Phase::Ready,
            process_id: 7,
            address: 0x7000_0000_0000,
            page_bytes: PAGE_BYTES,
            pages: 4,
            node: NodeId(1),
            seed: 1,
            hot_pages: vec![1, 3],
            start_frames: Some(vec![10, 11, 12, 13]),
            ready_monotonic_ns: 5,
            first_touch_monotonic_ns: None,
            first_touch_boottime_ns: None,
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
    fn a_state_that_contradicts_itself_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        type Change = fn(&mut State);
        let changes: [Change; 6] = [
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
        fs::write(&path, "{}").unwrap();
        let error = State::read(&path).unwrap_err();
        assert!(error.to_string().ends_with("is no state of a workload"));
        assert!(State::read(Path::new("/nowhere")).is_err());
    }
}
