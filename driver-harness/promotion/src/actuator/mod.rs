// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What moves pages to another node, given their frames.

use std::fmt;

use chmu_machine::memory::page_flags::PageFlagsError;
use chmu_machine::memory::page_map::PageMapError;
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;

use crate::batch::{Batch, Fate};
use crate::severity::Severity;

pub mod damon;
mod dry_run;
mod move_pages;
mod owners;
mod regions;

pub use damon::{Damon, DamonError};
pub use dry_run::DryRun;
pub use move_pages::MovePages;
pub use owners::Owners;

/// Moves pages: `promote_batch(vec, target)`.
pub trait Actuator: fmt::Debug + Send {
    /// The actuator's name as users choose it.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn limits(&self) -> Limits;

    /// Moves the folios of a batch to its target, one attempt each, and says what became of each, in
    /// the order of the candidates.
    ///
    /// Nothing moves any more once this has returned. A folio that cannot move is no error; an error
    /// means that the batch as a whole could not be tried, or not to its end. When `stop` is raised it
    /// returns soon, with [`Fate::Stayed`] for what it did not try.
    fn promote_batch(&mut self, batch: &Batch, stop: &StopFlag)
    -> Result<Vec<Fate>, ActuatorError>;

    /// Another one of it that can work at the same time; none where there can be only one.
    fn another(&self) -> Option<Box<dyn Actuator>> {
        None
    }
}

/// What an actuator can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most folios of one batch.
    pub frames_max: usize,
    /// It moves pages that no process maps, such as page cache.
    pub sees_unmapped: bool,
    /// It leaves pages of processes whose cpuset does not allow the target.
    pub obeys_cpusets: bool,
    /// It only says what it would do.
    pub is_dry: bool,
}

/// A batch that could not even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ActuatorError {
    /// DAMON refused.
    #[error(transparent)]
    Damon(#[from] DamonError),
    /// Frames cannot be matched with pages of processes.
    #[error(transparent)]
    PageMap(#[from] PageMapError),
    /// It cannot be seen what became of the pages.
    #[error(transparent)]
    PageFlags(#[from] PageFlagsError),
    /// `/proc` cannot be listed.
    #[error("Cannot list the machine's processes")]
    Processes(#[source] std::io::Error),
    /// The system call failed as a whole.
    #[error("Cannot move pages of process {process_id} to node {target}")]
    MovePages {
        /// The owner of the pages.
        process_id: u32,
        /// Where they should go.
        target: NodeId,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl ActuatorError {
    /// What it means for the run.
    pub fn severity(&self) -> Severity {
        match self {
            ActuatorError::PageMap(_) | ActuatorError::MovePages { .. } => Severity::Retry,
            ActuatorError::Damon(DamonError::Timeout { .. }) => Severity::Retry,
            ActuatorError::Damon(_) | ActuatorError::PageFlags(_) | ActuatorError::Processes(_) => {
                Severity::Fatal
            }
        }
    }
}
