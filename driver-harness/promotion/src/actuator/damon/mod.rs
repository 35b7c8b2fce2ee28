// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages moved by DAMON: one pass of its scheme `migrate_hot` over physical address ranges
//! (Documentation/admin-guide/mm/damon/usage.rst, mm/damon/paddr.c).
//!
//! DAMON is used as a mover only: its access pattern lets every region through, so that a pass
//! moves exactly the folios of the batch, wherever their owners are and also if they have none. It
//! heeds neither cpusets nor memory policies: whoever must keep them takes `move-pages`.
//!
//! One worker is set up for the whole run, its files stay open, and nothing is set up for a batch but
//! its regions.

use std::fs::File;
use std::time::Instant;

use chmu_machine::memory::numa::{self, Placement};
use chmu_machine::memory::page_flags::{PageFlags, PageFlagsFile};
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;
use chmu_spec::address::Pfn;

use super::fates::{self, Look, Stayers};
use super::room::Room;
use super::{Actuator, ActuatorError, Limits, migrations, regions};
use crate::batch::{Batch, Candidate, Fate};

mod kdamond;
mod slots;

use crate::damon::ownership;
use crate::damon::workers::Worker;
pub use crate::damon::{DamonError, Places, Remains};
use kdamond::Kdamond;

/// Moves pages by a worker of its own, set up when made and removed when dropped.
#[derive(Debug)]
pub struct Damon {
    kdamond: Kdamond,
    places: Places,
    page_flags: PageFlagsFile,
    /// Where the machine's migrations are counted.
    statistics: File,
    stayers: Stayers,
    times: BatchTimes,
    /// Dropped after it was switched off.
    _worker: Worker,
}

/// Where the time of the last batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchTimes {
    /// Looking at the folios, before and after.
    pub look_ns: u64,
    /// Telling DAMON the regions and the target.
    pub program_ns: u64,
    /// DAMON's part: being told to start, and the pass.
    pub pass_ns: u64,
}

impl Damon {
    /// Sets up a worker. What a killed run of ours left is taken back first.
    ///
    /// # Errors
    /// When the kernel has no DAMON that moves pages, this user may not use it, or somebody else does.
    pub fn set_up(places: Places) -> Result<Damon, ActuatorError> {
        let page_flags = PageFlagsFile::open(&places.procfs.join("kpageflags"))?;
        let statistics = migrations::open(&places.procfs)?;
        let worker = Worker::claim(&places)?;
        let kdamond = Kdamond::set_up(worker.folder(), &places.procfs)?;
        Ok(Damon {
            kdamond,
            page_flags,
            statistics,
            stayers: Stayers::default(),
            times: BatchTimes::default(),
            places,
            _worker: worker,
        })
    }

    /// Where the time of the last batch went.
    pub fn times(&self) -> BatchTimes {
        self.times
    }

    /// How often page flags were read.
    pub fn page_flag_reads(&self) -> u64 {
        self.page_flags.reads()
    }

    /// Moves what lies in these frames; how many pages the kernel moved meanwhile, of these or others.
    fn pass(&mut self, frames: &[Pfn], target: NodeId) -> Result<Option<u64>, ActuatorError> {
        let kdamond = &mut self.kdamond;
        let regions = regions::coalesce(frames);
        let start = Instant::now();
        kdamond.slots.program(&regions).map_err(DamonError::from)?;
        kdamond.set_target(target)?;
        self.times.program_ns += nanoseconds(start);
        let before = migrations::pages(&self.statistics);
        let start = Instant::now();
        kdamond.pass()?;
        self.times.pass_ns += nanoseconds(start);
        let after = migrations::pages(&self.statistics);
        Ok(before
            .zip(after)
            .map(|(before, after)| after.saturating_sub(before)))
    }

    /// Tries what can move, and tells what became of each.
    fn promote(
        &mut self,
        candidates: &[Candidate],
        target: NodeId,
    ) -> Result<Vec<Fate>, ActuatorError> {
        let heads: Vec<_> = candidates.iter().map(|one| one.folio.head).collect();
        let before = self.look(&heads)?;
        let obstacles: Vec<_> = candidates
            .iter()
            .zip(&before)
            .map(|(one, flags)| fates::obstacle(one.folio.pages, *flags))
            .collect();
        let is_tried = |place: &usize| obstacles[*place].is_none();
        let tried: Vec<usize> = (0..candidates.len()).filter(is_tried).collect();
        let tried_heads: Vec<_> = tried.iter().map(|&place| heads[place]).collect();
        let counted = match tried.is_empty() {
            true => None,
            false => self.pass(&tried_heads, target)?,
        };
        let after = self.look(&tried_heads)?;
        let tried_candidates: Vec<_> = tried.iter().map(|&place| candidates[place]).collect();
        let places = whereabouts(&tried_candidates);
        let looks: Vec<_> = tried
            .iter()
            .zip(after.into_iter().zip(places))
            .map(|(&place, (after, now))| Look {
                pages: candidates[place].folio.pages,
                before: before[place],
                after,
                place: now,
            })
            .collect();
        let room = Room::of(&self.places.procfs, target);
        let judged = fates::judge(&looks, target, counted, |pages| room.holds(pages));
        if let Some((counted, told)) = judged.difference {
            log::warn!(
                "The kernel moved {counted} pages and {told} left their frames: some were freed meanwhile"
            );
        }
        let mut fates: Vec<_> = obstacles
            .into_iter()
            .map(|obstacle| obstacle.unwrap_or(Fate::Stayed))
            .collect();
        for (&place, fate) in tried.iter().zip(judged.fates) {
            fates[place] = self.stayers.judge(heads[place], fate);
        }
        Ok(fates)
    }

    fn look(&mut self, heads: &[Pfn]) -> Result<Vec<PageFlags>, ActuatorError> {
        let start = Instant::now();
        let flags = self.page_flags.read_each(heads)?;
        self.times.look_ns += nanoseconds(start);
        Ok(flags)
    }

    fn batch_max(&self) -> usize {
        self.kdamond.slots.limit()
    }
}

impl Actuator for Damon {
    fn name(&self) -> &'static str {
        "damon"
    }

    fn limits(&self) -> Limits {
        Limits {
            frames_max: self.batch_max(),
            sees_unmapped: true,
            obeys_cpusets: false,
            is_dry: false,
        }
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        self.times = BatchTimes::default();
        let mut fates = Vec::new();
        for candidates in batch.candidates.chunks(self.batch_max()) {
            if stop.is_raised() {
                break;
            }
            fates.extend(self.promote(candidates, batch.route.target)?);
        }
        fates.resize(batch.candidates.len(), Fate::Stayed);
        Ok(fates)
    }
}

impl Drop for Damon {
    fn drop(&mut self) {
        if let Err(error) = self.kdamond.switch_off() {
            log::warn!("DAMON goes on: {error}; chmu reset takes it back");
        }
    }
}

/// Takes back what a killed run of ours left of DAMON.
///
/// # Errors
/// When a living chmu or another program uses DAMON, or the kernel refuses.
pub fn reset(places: &Places) -> Result<Remains, DamonError> {
    if !places.kdamonds().join("nr_kdamonds").exists() {
        return Ok(Remains::None);
    }
    let _lock = ownership::claim(places)?;
    ownership::take_back(places)
}

/// Where the owners of folios have them now; none where no owner is known or can be asked.
fn whereabouts(candidates: &[Candidate]) -> Vec<Option<Placement>> {
    let mut places = vec![None; candidates.len()];
    for (process_id, pages) in super::by_process(candidates) {
        let addresses: Vec<_> = pages.iter().map(|(_, address)| *address).collect();
        match numa::query_pages(process_id, &addresses) {
            Ok(found) => {
                for ((place, _), found) in pages.iter().zip(found) {
                    places[*place] = Some(found);
                }
            }
            Err(error) => log::debug!("Process {process_id} cannot be asked: {error}"),
        }
    }
    places
}

fn nanoseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
