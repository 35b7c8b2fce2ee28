// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What was observed of a process, in a file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chmu_machine::node::NodeId;
use chmu_promotion::Folio;
use serde::{Deserialize, Serialize};

use super::page::{ObservedPage, Rates, Seen};

/// The version of the file.
const VERSION: u32 = 3;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObservationError {
    /// It cannot be written.
    #[error("Cannot write what was observed to {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("Cannot read an observation from {}; chmu observe --file writes one", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is none.
    #[error("{} is no observation", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It contradicts itself.
    #[error("{} contradicts itself: {what}", path.display())]
    Contradiction {
        /// Which file.
        path: PathBuf,
        /// How.
        what: &'static str,
    },
}

/// What was observed of a process since a mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The version of the file, 2.
    pub v: u32,
    /// The process that was observed.
    pub process_id: u32,
    /// When that process started, in the clock ticks of `/proc/PID/stat`: a later process of the same
    /// number is another one.
    pub process_start_ticks: u64,
    /// The process that observed, or still does.
    pub observer_id: u32,
    /// When that started, likewise.
    pub observer_start_ticks: u64,
    /// Nothing more will be observed.
    pub is_finished: bool,
    /// The addresses that were watched: from, and until.
    pub addresses: (u64, u64),
    /// When the counts began, on `CLOCK_MONOTONIC`.
    pub begin_ns: u64,
    /// When they were read the last time.
    pub end_ns: u64,
    /// How often they were read.
    pub looks: u64,
    /// Accesses, of any page, that may be missing: lost on their way, or without a counter.
    pub accesses_missing: u64,
    /// How often accesses were not reported for a time, so that nobody knows how many are missing.
    pub gaps: u64,
    /// How often a page was not watched as there were too many.
    pub pages_left_out: u64,
    /// Folios of several pages in which pages were seen first; none when the kernel hides them.
    #[serde(deserialize_with = "Option::deserialize")]
    pub large_folios: Option<Vec<Folio>>,
    /// The pages that were seen in the device's memory.
    pub pages: Vec<ObservedPage>,
}

/// The pages of one node, with what the counts say of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedNode {
    /// The process.
    pub process_id: u32,
    /// The node on which the pages were seen first.
    pub node: NodeId,
    /// The pages.
    pub pages: Vec<ObservedPage>,
    /// What the counts say of each.
    pub seen: Vec<Seen>,
    /// Folios of several pages; none when the kernel hides them.
    pub large_folios: Option<Vec<Folio>>,
}

impl ObservedNode {
    /// A page by its number.
    pub(crate) fn page(&self, page: u64) -> Option<&ObservedPage> {
        self.pages.get(usize::try_from(page).ok()?)
    }

    /// What the counts say of a page; nothing of one that there is not.
    pub(crate) fn seen(&self, page: u64) -> Seen {
        let place = usize::try_from(page).ok();
        let seen = place.and_then(|place| self.seen.get(place));
        seen.copied().unwrap_or(Seen::Unclear)
    }
}

impl Observation {
    /// The version that is written.
    pub const VERSION: u32 = VERSION;

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Observation, ObservationError> {
        let path_owned = || path.to_owned();
        let text = fs::read_to_string(path).map_err(|source| ObservationError::Read {
            path: path_owned(),
            source,
        })?;
        let observation: Observation =
            serde_json::from_str(&text).map_err(|source| ObservationError::Content {
                path: path_owned(),
                source,
            })?;
        match observation.contradiction() {
            None => Ok(observation),
            Some(what) => Err(ObservationError::Contradiction {
                path: path_owned(),
                what,
            }),
        }
    }

    fn contradiction(&self) -> Option<&'static str> {
        let (begin_ns, end_ns) = (self.begin_ns, self.end_ns);
        let times_fit = |page: &ObservedPage| {
            let until_ns = page.left.map_or(end_ns, |left| left.after_ns);
            let by_ns = page.left.map_or(end_ns, |left| left.by_ns);
            [begin_ns, page.seen_ns, until_ns, by_ns, end_ns].is_sorted()
        };
        if self.v != VERSION {
            Some("its version is not 2")
        } else if !self.pages.iter().all(times_fit) {
            Some("a page was watched when nobody looked")
        } else if !self.pages.iter().all(|page| page.sure <= page.possible) {
            Some("more accesses of a page are sure than possible")
        } else if !self
            .pages
            .iter()
            .all(|page| page.most_in_a_second <= page.possible)
        {
            Some("more accesses of a page fell into a second than are possible")
        } else {
            None
        }
    }

    /// Writes the file as a whole: a reader sees the old one or the new one.
    pub fn publish(&self, path: &Path) -> Result<(), ObservationError> {
        let mut text = serde_json::json!(self).to_string();
        text.push('\n');
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let new = PathBuf::from(name);
        let published = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
        published.map_err(|source| ObservationError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// Accesses that may be missing from any page; none when nobody knows how many.
    pub fn missing(&self) -> Option<u64> {
        (self.gaps == 0).then_some(self.accesses_missing)
    }

    /// How long was watched, in nanoseconds.
    pub fn time_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.begin_ns)
    }

    /// The pages whose address lies in a range, by the node on which they were seen first.
    pub fn by_node(&self, addresses: &Range<u64>, rates: Rates) -> Vec<ObservedNode> {
        let mut nodes: BTreeMap<NodeId, ObservedNode> = BTreeMap::new();
        let inside = self
            .pages
            .iter()
            .filter(|page| addresses.contains(&page.address));
        for page in inside {
            let node = nodes.entry(page.node).or_insert_with(|| ObservedNode {
                process_id: self.process_id,
                node: page.node,
                pages: Vec::new(),
                seen: Vec::new(),
                large_folios: self.large_folios.clone(),
            });
            node.pages.push(*page);
            node.seen
                .push(page.seen(rates, self.end_ns, self.missing()));
        }
        nodes.into_values().collect()
    }
}
