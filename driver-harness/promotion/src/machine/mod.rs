// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What promotion asks the machine.

use std::fmt;
use std::io;
use std::ops::Range;

use chmu_machine::memory::owners::{Owner, ProcessesError};
use chmu_machine::memory::page_flags::{PageFlags, PageFlagsError};
use chmu_machine::memory::page_map::PageMapError;
use chmu_machine::node::NodeId;
use chmu_machine::sysfs_file::SysfsError;
use chmu_machine::topology::Topology;
use chmu_machine::watermarks::Headroom;
use chmu_spec::address::Pfn;

use crate::batch::Folio;
use crate::severity::Severity;

mod described;
mod this_machine;

pub use described::DescribedMachine;
pub use this_machine::ThisMachine;

/// The machine whose pages are promoted.
pub trait Machine: fmt::Debug {
    /// Its nodes and tiers now.
    fn topology(&self) -> Result<Topology, MachineError>;

    /// What its nodes can take now.
    fn headroom(&self) -> Result<Headroom, MachineError>;

    /// What each frame of a range holds now, in one read.
    fn flags(&self, frames: Range<u64>) -> Result<Vec<PageFlags>, MachineError>;

    /// The frame of each of `pages` pages of a process from `start` on; none for all when the process
    /// has ended, or refuses.
    fn resolve(
        &self,
        process_id: u32,
        start: u64,
        pages: u64,
    ) -> Result<Vec<Option<Pfn>>, MachineError>;

    /// The frame of each of these addresses of a process, as [`Machine::resolve`] tells them.
    fn resolve_each(
        &self,
        process_id: u32,
        addresses: &[u64],
    ) -> Result<Vec<Option<Pfn>>, MachineError> {
        let one = |&address| Ok(self.resolve(process_id, address, 1)?.pop().flatten());
        addresses.iter().map(one).collect()
    }

    /// Puts pages that processors keep back onto the reclaim lists.
    fn drain_reclaim_batches(&self) -> Result<(), MachineError>;

    /// What tells the page in each folio from others, as far as the machine shows it.
    fn identities(&self, folios: &[Folio]) -> Result<Vec<Option<Identity>>, MachineError>;

    /// Who maps each of these folios, where pages may be demoted: a page that comes back is known by
    /// nothing else. None for those that no process maps, and for all where nothing is demoted, as the
    /// answer costs by all pages that are mapped.
    fn owners(&self, folios: &[Folio]) -> Result<Vec<Option<Owner>>, MachineError> {
        Ok(vec![None; folios.len()])
    }

    /// Pages that were demoted from a node since the machine started; none where it is not told.
    fn demoted_pages(&self, node: NodeId) -> Result<Option<u64>, MachineError>;
}

/// What a page's memory is to the kernel, which does not change as long as it is the same page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageKind {
    /// Of processes alone.
    Anonymous,
    /// Several anonymous pages of equal content, merged by KSM.
    Merged,
    /// Of a tmpfs, or shared without a file.
    SharedMemory,
    /// The cache of a file.
    File,
}

impl PageKind {
    /// By what `/proc/kpageflags` says of a page.
    pub fn of(flags: PageFlags) -> PageKind {
        if flags.contains(PageFlags::KSM) {
            PageKind::Merged
        } else if flags.contains(PageFlags::ANON) {
            PageKind::Anonymous
        } else if flags.contains(PageFlags::SWAPBACKED) {
            PageKind::SharedMemory
        } else {
            PageKind::File
        }
    }
}

/// What tells a page from others that may be in its frames later. Two that differ are different pages;
/// two that are equal may still be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// What kind of memory it is.
    pub kind: PageKind,
    /// The control group that it is charged to, by inode; none where the kernel does not tell.
    pub control_group: Option<u64>,
    /// Who maps it, where that was looked up.
    pub owner: Option<Owner>,
}

impl Identity {
    /// Whether it may be the same page as another.
    pub fn may_be(&self, other: &Identity) -> bool {
        fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        self.kind == other.kind
            && agree(self.control_group, other.control_group)
            && agree(self.owner, other.owner)
    }
}

/// A question that the machine does not answer.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The topology cannot be read.
    #[error(transparent)]
    Topology(#[from] SysfsError),
    /// Frames cannot be looked at.
    #[error(transparent)]
    PageFlags(#[from] PageFlagsError),
    /// Frames of processes cannot be found.
    #[error(transparent)]
    PageMap(#[from] PageMapError),
    /// Owners of pages cannot be looked for.
    #[error(transparent)]
    Owners(#[from] ProcessesError),
    /// The reclaim lists cannot be brought up to date.
    #[error("Cannot bring the reclaim lists up to date")]
    Drain(#[source] io::Error),
}

impl MachineError {
    /// What it means for the run.
    pub fn severity(&self) -> Severity {
        match self {
            MachineError::Drain(_) | MachineError::PageMap(_) | MachineError::Owners(_) => {
                Severity::Degraded
            }
            // Nodes and memory come and go while their files are read.
            MachineError::Topology(_) => Severity::Retry,
            MachineError::PageFlags(_) => Severity::Fatal,
        }
    }
}
