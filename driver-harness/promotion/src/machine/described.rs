// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine that is only described: what decisions need where nothing is moved.

use std::ops::Range;

use chmu_machine::memory::page_flags::PageFlags;
use chmu_machine::node::NodeId;
use chmu_machine::topology::Topology;
use chmu_machine::watermarks::Headroom;
use chmu_spec::address::Pfn;

use super::{Identity, Machine, MachineError};
use crate::batch::Folio;

/// Its nodes are known, and every frame of theirs holds a base page that can move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMachine {
    topology: Topology,
}

impl DescribedMachine {
    /// A machine with these nodes.
    pub fn new(topology: Topology) -> DescribedMachine {
        DescribedMachine { topology }
    }

    fn flags_of_frame(&self, frame: Pfn) -> PageFlags {
        match self.topology.node_of(frame) {
            Some(_) => PageFlags::LRU | PageFlags::ANON,
            None => PageFlags::NOPAGE,
        }
    }
}

impl Machine for DescribedMachine {
    fn topology(&self) -> Result<Topology, MachineError> {
        Ok(self.topology.clone())
    }

    fn headroom(&self) -> Result<Headroom, MachineError> {
        Ok(Headroom::default())
    }

    fn flags(&self, frames: Range<u64>) -> Result<Vec<PageFlags>, MachineError> {
        Ok(frames
            .map(|frame| self.flags_of_frame(Pfn(frame)))
            .collect())
    }

    fn resolve(&self, _: u32, _: u64, pages: u64) -> Result<Vec<Option<Pfn>>, MachineError> {
        Ok(vec![None; usize::try_from(pages).unwrap_or(0)])
    }

    fn drain_reclaim_batches(&self) -> Result<(), MachineError> {
        Ok(())
    }

    fn identities(&self, folios: &[Folio]) -> Result<Vec<Option<Identity>>, MachineError> {
        Ok(vec![None; folios.len()])
    }

    fn demoted_pages(&self, _: NodeId) -> Result<Option<u64>, MachineError> {
        Ok(None)
    }
}
