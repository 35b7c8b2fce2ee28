// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Observes a process of this machine.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;

use chmu_machine::clock;
use chmu_machine::memory::page_map::{PageMap, PageMapError};
use chmu_machine::process;
use chmu_machine::topology::Topology;
use chmu_promotion::Folio;
use chmu_spec::address::Pfn;

use super::oracle::{Oracle, OracleError};
use super::truth::Observation;
use super::watcher::{Look, PAGES_MAX, Watcher};
use crate::workload::large_folios;

/// A process that cannot be observed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no such process.
    #[error("There is no process {0} that runs")]
    Ended(u32),
    /// The kernel does not show it.
    #[error("Cannot look at process {process_id}")]
    Process {
        /// The process.
        process_id: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not show where its pages lie.
    #[error(transparent)]
    Frames(#[from] PageMapError),
    /// The counts cannot be had.
    #[error(transparent)]
    Oracle(#[from] OracleError),
}

/// An observation that goes on.
#[derive(Debug)]
pub struct Session {
    process_id: u32,
    start_ticks: u64,
    own_start_ticks: u64,
    addresses: Range<u64>,
    map: PageMap,
    topology: Topology,
    oracle: Oracle,
    watcher: Watcher,
    /// By first frame; none when the kernel hides folios.
    large_folios: Option<BTreeMap<u64, Folio>>,
    begin_ns: u64,
    end_ns: u64,
    looks: u64,
}

impl Session {
    /// Begins with a first look at the pages of a process in a range of addresses. `oracle` counts
    /// since now.
    pub fn begin(
        process_id: u32,
        addresses: Range<u64>,
        topology: Topology,
        oracle: Oracle,
    ) -> Result<Session, SessionError> {
        let start_ticks = start_of(process_id)?.ok_or(SessionError::Ended(process_id))?;
        let own_start_ticks = start_of(std::process::id())?.unwrap_or(0);
        let mut session = Session {
            process_id,
            start_ticks,
            own_start_ticks,
            addresses,
            map: PageMap::open(process_id)?,
            topology,
            watcher: Watcher::new(oracle.windows().to_vec()),
            oracle,
            large_folios: Some(BTreeMap::new()),
            begin_ns: 0,
            end_ns: 0,
            looks: 0,
        };
        match session.look()? {
            true => Ok(session),
            false => Err(SessionError::Ended(process_id)),
        }
    }

    /// Looks once more; false when the process has ended, and there was nothing to see.
    pub fn look(&mut self) -> Result<bool, SessionError> {
        let before = self.frames()?;
        let counts = self.oracle.counts(self.watcher.frames(&before))?;
        let time_ns = clock::monotonic_ns();
        let after = self.frames()?;
        if start_of(self.process_id)? != Some(self.start_ticks) {
            return Ok(false);
        }
        let look = Look {
            time_ns,
            before,
            counts,
            after,
        };
        let topology = &self.topology;
        let new = self.watcher.look(&look, |frame| topology.node_of(frame));
        self.note_folios(&new);
        if self.looks == 0 {
            self.begin_ns = time_ns;
        }
        self.end_ns = time_ns;
        self.looks += 1;
        Ok(true)
    }

    fn frames(&self) -> Result<BTreeMap<u64, Pfn>, PageMapError> {
        let mut frames = BTreeMap::new();
        self.map
            .each_present(self.addresses.clone(), |address, frame| {
                frames.insert(address, frame);
                // Those that are not watched are told apart later.
                frames.len() < 4 * PAGES_MAX
            })?;
        Ok(frames)
    }

    fn note_folios(&mut self, new: &[Pfn]) {
        if new.is_empty() {
            return;
        }
        let frames: Vec<_> = new.iter().map(|frame| frame.0).collect();
        match (&mut self.large_folios, large_folios(&frames)) {
            (Some(known), Some(found)) => {
                known.extend(found.into_iter().map(|folio| (folio.head.0, folio)));
            }
            _ => self.large_folios = None,
        }
    }

    /// What was observed until the last look.
    pub fn observation(&self, is_finished: bool) -> Observation {
        let (accesses_missing, gaps) = self.oracle.missing();
        let folios = self.large_folios.as_ref();
        Observation {
            v: Observation::VERSION,
            process_id: self.process_id,
            process_start_ticks: self.start_ticks,
            observer_id: std::process::id(),
            observer_start_ticks: self.own_start_ticks,
            is_finished,
            addresses: (self.addresses.start, self.addresses.end),
            begin_ns: self.begin_ns,
            end_ns: self.end_ns,
            looks: self.looks,
            accesses_missing,
            gaps,
            pages_left_out: self.watcher.left_out(),
            large_folios: folios.map(|folios| folios.values().copied().collect()),
            pages: self.watcher.pages().to_vec(),
        }
    }

    /// Ends the counting.
    pub fn end(self) -> Result<(), SessionError> {
        Ok(self.oracle.stop()?)
    }
}

/// When a process started; none when it has ended.
pub(super) fn start_of(process_id: u32) -> Result<Option<u64>, SessionError> {
    process::start_ticks(Path::new("/proc"), process_id)
        .map_err(|source| SessionError::Process { process_id, source })
}
