// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What moves pages to another node, given their frames.

use std::fmt;

use chmu_machine::memory::page_map::PageMapError;
use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

pub mod damon;
mod dry_run;
mod move_pages;
mod owners;
mod regions;

pub use damon::{Damon, DamonError};
pub use dry_run::DryRun;
pub use move_pages::MovePages;
pub use owners::Owners;

/// Moves the pages in frames: `promote_batch(vec, target)`.
pub trait Actuator: fmt::Debug {
    /// The actuator's name as users choose it.
    fn name(&self) -> &'static str;

    /// Most frames of one batch.
    fn batch_frames_max(&self) -> usize;

    /// Moves the pages that lie in `frames` to `target`, one attempt each.
    ///
    /// A frame stands for all of its folio. Pages that cannot move now are no error: they are just
    /// not part of the outcome.
    fn promote_batch(
        &mut self,
        frames: &[Pfn],
        target: NodeId,
    ) -> Result<BatchOutcome, ActuatorError>;

    /// It only says what it would do.
    fn is_dry(&self) -> bool {
        false
    }
}

/// What the actuator itself says of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchOutcome {
    /// Bytes that arrived on the target.
    pub moved_bytes: u64,
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
