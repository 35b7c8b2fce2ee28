// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A workload whose hot pages are known: what a promotion is measured against.
//!
//! Its pages lie on one node, carry content that names them, and are touched through all their cache
//! lines; at the end every word is checked, also for writes that a move might have lost.

use std::io;
use std::path::PathBuf;

use chmu_machine::clock;
use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::memory::numa::{self, Placement};
use chmu_machine::memory::pin::Pin;
use chmu_machine::memory::userfaultfd::{Registered, UserfaultfdError};
use chmu_machine::node::NodeId;
use chmu_machine::topology::{Topology, name_nodes};

mod backing;
pub mod checks;
pub mod expectation;
pub mod hot_set;
pub mod pattern;
pub mod report;
mod start;
pub mod state;
pub mod touches;
pub mod traffic;
mod verification;

pub use backing::{Backing, BackingError};
pub(crate) use start::large_folios;
pub use verification::{Verification, WrongWord};

use backing::Pages;
use checks::Checks;
use expectation::Expectation;
use pattern::Pattern;
use state::{Phase, State};
use traffic::{Direction, Touch, TrafficError};

/// A workload that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// There are more hot pages than pages.
    #[error("{hot} hot pages do not fit into {pages} pages")]
    HotPages {
        /// How many hot pages were asked for.
        hot: u64,
        /// How many pages there would be.
        pages: u64,
    },
    /// The traffic would touch nothing.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    /// Every node has processors, or there is no memory without any.
    #[error("No node has memory but no processors; name the node of the slow memory with --node")]
    NoSlowNode,
    /// The node is not there.
    #[error("There is no node {node} with memory; {}", name_nodes(with_memory))]
    NoNode {
        /// The node.
        node: NodeId,
        /// The nodes with memory.
        with_memory: Vec<NodeId>,
    },
    /// The node is too full.
    #[error("{pages} pages do not fit into the {free_bytes} free bytes of node {node}")]
    NoRoom {
        /// How many pages were asked for.
        pages: u64,
        /// The node.
        node: NodeId,
        /// Its free memory.
        free_bytes: u64,
    },
    /// The system call failed.
    #[error("Cannot map {pages} pages of memory")]
    Map {
        /// How many pages.
        pages: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// The memory policy was refused.
    #[error("Cannot set the policy of pages on node {node}")]
    Bind {
        /// The node.
        node: NodeId,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not say where pages are.
    #[error("Cannot ask where the workload's pages are")]
    Query(#[source] io::Error),
    /// Pages cannot be held.
    #[error("Cannot hold pages where they are")]
    Pin(#[source] io::Error),
    /// Nobody could tell which pages are accessed.
    #[error(transparent)]
    Userfaultfd(#[from] UserfaultfdError),
    /// The same, as no process maps them.
    #[error(
        "Pages that are not mapped have no accessed bits; take another --backing than file:FILE"
    )]
    Unmapped,
    /// The kernel put pages elsewhere.
    #[error("{elsewhere} of {pages} pages are not on node {node}")]
    Elsewhere {
        /// So many.
        elsewhere: u64,
        /// Of so many.
        pages: u64,
        /// The node they should be on.
        node: NodeId,
    },
}

/// What to set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How many pages of 4 KiB.
    pub pages: u64,
    /// The node they are put on.
    pub node: NodeId,
    /// Names the content and the choice of hot pages.
    pub seed: u64,
}

impl Layout {
    /// Pages on `node`, or else on the slowest node without processors; there must be room.
    pub fn choose(
        topology: &Topology,
        node: Option<NodeId>,
        pages: u64,
        seed: u64,
    ) -> Result<Layout, WorkloadError> {
        let node = node
            .or_else(|| topology.slowest_node_without_cpu())
            .ok_or(WorkloadError::NoSlowNode)?;
        let memory = topology.nodes.get(&node).filter(|node| node.has_memory);
        let free_bytes = memory.ok_or_else(|| WorkloadError::NoNode {
            node,
            with_memory: topology.nodes_with_memory(),
        });
        let free_bytes = free_bytes?.free_bytes;
        if pages.saturating_mul(PAGE_BYTES) > free_bytes {
            return Err(WorkloadError::NoRoom {
                pages,
                node,
                free_bytes,
            });
        }
        Ok(Layout { pages, node, seed })
    }
}

/// Refuses numbers of pages that no traffic can have: at least one page is hot, and no more than
/// there are.
pub fn check_counts(pages: u64, hot: u64) -> Result<(), WorkloadError> {
    match hot {
        0 => Err(TrafficError::NothingHot.into()),
        hot if hot > pages => Err(WorkloadError::HotPages { hot, pages }),
        _ => Ok(()),
    }
}

/// How many accesses were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Accesses {
    /// Loads, without those that go before a store.
    pub reads: u64,
    /// Stores.
    pub writes: u64,
}

/// The pages and what was written to them.
#[derive(Debug)]
pub struct Workload {
    buffer: Pages,
    /// The file that the pages belong to.
    file: Option<PathBuf>,
    pattern: Pattern,
    node: NodeId,
    expectation: Expectation,
    accesses: Accesses,
}

impl Workload {
    /// Makes and fills the pages, all on their node and where migration finds them.
    pub fn prepare(layout: Layout, backing: &Backing) -> Result<Workload, WorkloadError> {
        let Layout { pages, node, seed } = layout;
        let map_failed = |source| WorkloadError::Map { pages, source };
        let mut buffer = Pages::make(backing, pages).map_err(map_failed)?;
        let pattern = Pattern { seed };
        buffer
            .fill(node, |page, place| pattern.word(page, place, 0))
            .map_err(|source| WorkloadError::Bind { node, source })?;
        let expectation = Expectation::of(pattern, pages);
        let expectation =
            expectation.ok_or_else(|| map_failed(io::ErrorKind::OutOfMemory.into()))?;
        let workload = Workload {
            buffer,
            file: backing.file().cloned(),
            pattern,
            node,
            expectation,
            accesses: Accesses::default(),
        };
        workload.check_placement()?;
        numa::drain_reclaim_batches().map_err(WorkloadError::Query)?;
        Ok(workload)
    }

    fn check_placement(&self) -> Result<(), WorkloadError> {
        let pages = self.buffer.pages();
        let query = |first| {
            let addresses = backing::addresses(first, pages);
            numa::query_pages(std::process::id(), &addresses)
        };
        let places = self.buffer.look(query).map_err(WorkloadError::Query)?;
        let here = Placement::Node(self.node);
        let elsewhere = places.iter().filter(|&&place| place != here).count() as u64;
        match elsewhere {
            0 => Ok(()),
            _ => Err(WorkloadError::Elsewhere {
                elsewhere,
                pages,
                node: self.node,
            }),
        }
    }

    /// Lets the kernel's NUMA balancing move the pages as well: without, only promotion does.
    pub fn allow_balancing(&self) -> Result<(), WorkloadError> {
        let node = self.node;
        let released = self.buffer.release();
        released.map_err(|source| WorkloadError::Bind { node, source })
    }

    /// Registers the pages with a userfaultfd, which others may use as long as the result lives.
    pub fn share_userfaultfd(&self) -> Result<Registered, WorkloadError> {
        let start = self.buffer.address();
        match start {
            0 => Err(WorkloadError::Unmapped),
            _ => {
                let end = start + self.buffer.pages() * PAGE_BYTES;
                Ok(Registered::memory(start..end)?)
            }
        }
    }

    /// Holds pages where they are, as long as the result lives.
    pub fn pin(&self, pages: &[u64]) -> Result<Pin, WorkloadError> {
        let hold = |first: u64| {
            let addresses: Vec<_> = pages.iter().map(|page| first + page * PAGE_BYTES).collect();
            Pin::hold(&addresses)
        };
        self.buffer.look(hold).map_err(WorkloadError::Pin)
    }

    /// What the state file says of this workload before the first touch.
    pub fn state(&self, hot_pages: &[u64]) -> State {
        let (address, pages) = (self.buffer.address(), self.buffer.pages());
        let mut hot_pages = hot_pages.to_vec();
        hot_pages.sort_unstable();
        let look = |first| Ok(start::look(first, pages));
        let start = self.buffer.look(look).unwrap_or_default();
        State {
            phase: Phase::Ready,
            process_id: std::process::id(),
            file: self.file.clone(),
            address,
            page_bytes: PAGE_BYTES,
            pages,
            node: self.node,
            seed: self.pattern.seed,
            hot_pages,
            hot_since_ns: None,
            earlier_hot_sets: Vec::new(),
            large_folios: start.large_folios,
            start_frames: start.frames,
            ready_monotonic_ns: clock::monotonic_ns(),
            first_touch_monotonic_ns: None,
            first_touch_boottime_ns: None,
            checks: self.checks().clone(),
            verified: None,
        }
    }

    /// Makes one access, and looks at what it finds. A store loads the word first, so that a store that
    /// was lost is noticed before the next one hides it.
    ///
    /// # Panics
    /// When the touch names a page that the workload does not have.
    pub fn touch(&mut self, touch: Touch) {
        self.check(touch);
        self.count(touch);
    }

    /// The same, but a store is nothing than a store: for those who count accesses.
    ///
    /// # Panics
    /// When the touch names a page that the workload does not have.
    pub fn touch_exactly(&mut self, touch: Touch) {
        if touch.direction == Direction::Read {
            self.check(touch);
        }
        self.count(touch);
    }

    /// Loads the word and compares it with what it must be.
    fn check(&mut self, touch: Touch) {
        let found = self.buffer.read(touch.page, touch.place());
        self.expectation.check(touch, found, clock::monotonic_ns);
    }

    /// Stores the next word where it is a store, and counts.
    fn count(&mut self, touch: Touch) {
        match touch.direction {
            Direction::Read => self.accesses.reads += 1,
            Direction::Write => {
                let word = self.expectation.write(touch);
                self.buffer.write(touch.page, touch.place(), word);
                self.accesses.writes += 1;
            }
        }
    }

    /// What was found by looking at each word accessed so far.
    pub fn checks(&self) -> &Checks {
        self.expectation.checks()
    }

    /// How many pages there are.
    pub fn pages(&self) -> u64 {
        self.buffer.pages()
    }

    /// The accesses made so far.
    pub fn accesses(&self) -> Accesses {
        self.accesses
    }

    /// Reads every word and compares it with what it must be.
    pub fn verify(&self) -> Verification {
        self.expectation
            .verify(|page, place| self.buffer.read(page, place))
    }
}

#[cfg(test)]
mod tests;
