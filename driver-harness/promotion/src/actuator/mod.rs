// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What moves pages to another node, given their frames.

use std::collections::BTreeMap;
use std::fmt;

use chmu_machine::memory::owners::ProcessesError;
use chmu_machine::memory::page_flags::PageFlagsError;
use chmu_machine::stop::StopFlag;
use chmu_machine::sysfs_file::SysfsError;

use crate::batch::{Batch, Candidate, Fate};
use crate::severity::Severity;

pub mod damon;
mod dry_run;
mod fates;
mod migrations;
mod move_pages;
mod regions;
mod room;

pub use damon::{Damon, DamonError, Places};
pub use dry_run::DryRun;
pub use move_pages::MovePages;

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
    /// It cannot be seen what became of the pages.
    #[error(transparent)]
    PageFlags(#[from] PageFlagsError),
    /// The owners of pages cannot be looked for.
    #[error(transparent)]
    Processes(#[from] ProcessesError),
    /// What the kernel counts cannot be read.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
    /// Its parts cannot work side by side.
    #[error("Cannot start a thread to move pages by")]
    Thread(#[source] std::io::Error),
    /// A mistake of this program.
    #[error("The actuator panicked: {0}; please report this")]
    Panicked(String),
}

impl ActuatorError {
    /// What it means for the run.
    pub fn severity(&self) -> Severity {
        match self {
            ActuatorError::Damon(error) => error.severity(),
            ActuatorError::PageFlags(_)
            | ActuatorError::Processes(_)
            | ActuatorError::Sysfs(_)
            | ActuatorError::Thread(_)
            | ActuatorError::Panicked(_) => Severity::Fatal,
        }
    }
}

/// The folios whose owners are known, by process: each by its place among the candidates and the
/// address that its owner has it at.
fn by_process(candidates: &[Candidate]) -> BTreeMap<u32, Vec<(usize, u64)>> {
    let mut processes: BTreeMap<u32, Vec<(usize, u64)>> = BTreeMap::new();
    for (place, candidate) in candidates.iter().enumerate() {
        if let Some(owner) = candidate.owner {
            let pages = processes.entry(owner.process_id).or_default();
            pages.push((place, owner.address));
        }
    }
    processes
}
