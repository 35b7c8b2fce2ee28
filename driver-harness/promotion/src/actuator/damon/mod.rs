// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages moved by DAMON: one pass of its scheme `migrate_hot`, or `migrate_cold` where room is made,
//! over physical address ranges (Documentation/admin-guide/mm/damon/usage.rst, mm/damon/paddr.c).
//!
//! DAMON is used as a mover only: its access pattern lets every region through, so that a pass
//! moves exactly the folios of the batch, wherever their owners are and also if they have none. It
//! heeds neither cpusets nor memory policies: whoever must keep them takes `move-pages`.
//!
//! Workers are set up for the whole run, their files stay open, and nothing is set up for a batch but its
//! regions. Where the kernel counts passes and there are processors for it, two workers share a batch:
//! both are told their parts at the same time, and move them side by side.

use std::fs::File;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Instant;

use chmu_machine::memory::numa::{self, Placement};
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;
use chmu_machine::words;

use super::fates::{self, Look, Meanwhile, Stayers};
use super::migrations::{self, Counts};
use super::room::Room;
use super::{Actuator, ActuatorError, Limits};
use crate::batch::{Batch, Candidate, Direction, Fate, Route};

mod kdamond;
mod mover;
mod passes;
mod second;
mod slots;

use crate::damon::ownership;
pub use crate::damon::{DamonError, Places, Remains};
use kdamond::Wake;
use mover::{Mover, Part};
use second::{Second, Step};

/// Moves pages by workers of its own, set up when made and removed when dropped.
#[derive(Debug)]
pub struct Damon {
    first: Mover,
    /// Has its part of large batches.
    second: Option<Second>,
    places: Places,
    /// Where the machine's migrations are counted.
    statistics: File,
    stayers: Stayers,
    times: BatchTimes,
}

/// Parts of a batch: of the first worker and, where it has one, of the second.
type Parts = (Part, Option<Part>);

/// Most workers that move pages.
const MOVERS_MAX: u64 = 2;
/// Folios of a batch that workers share; for fewer it takes as long to start the second.
const SHARED_MIN: usize = 64;
/// A target with less room than this above what it is to take may run full meanwhile: processors take free pages in
/// lots, and keep some of them back.
const MARGIN_PAGES: u64 = 4096;

/// Where the time of the last batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchTimes {
    /// Looking at the folios, before and after. Of parts that are looked at side by side the longest
    /// time, here and below.
    pub look_ns: u64,
    /// Telling DAMON the regions.
    pub program_ns: u64,
    /// DAMON's part: being told to start, and the pass.
    pub pass_ns: u64,
}

impl Damon {
    /// Sets up a worker, or two where they can work side by side; where only the second cannot be had, that
    /// is said, and the first does all. What a killed run of ours left is taken back first.
    ///
    /// # Errors
    /// When the kernel has no DAMON that moves pages, this user may not use it, or somebody else does.
    pub fn set_up(places: Places) -> Result<Damon, ActuatorError> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::set_up_with(places, processors)
    }

    /// The same for so many processors.
    fn set_up_with(places: Places, processors: usize) -> Result<Damon, ActuatorError> {
        let statistics = migrations::open(&places.procfs)?;
        let first = Mover::set_up(&places, Wake::SwitchingOff)?;
        let second = match processors > 1 && first.counts_passes() {
            true => set_up_second(&places),
            false => None,
        };
        Ok(Damon {
            first,
            second,
            statistics,
            stayers: Stayers::default(),
            times: BatchTimes::default(),
            places,
        })
    }

    /// Has one worker do all from now on, for comparison.
    pub fn use_one_worker(&mut self) {
        self.second = None;
    }

    /// Where the time of the last batch went.
    pub fn times(&self) -> BatchTimes {
        self.times
    }

    /// How often page flags were read.
    pub fn page_flag_reads(&self) -> u64 {
        let second = self.second.as_ref();
        let reads = second.map_or(0, |second| second.mover().page_flag_reads());
        self.first.page_flag_reads() + reads
    }

    /// Tries what can move, and tells what became of each.
    fn promote(
        &mut self,
        candidates: &[Candidate],
        (route, direction): (Route, Direction),
    ) -> Result<Vec<Fate>, ActuatorError> {
        let parts = self.share(candidates);
        let before = Counts::read(&self.statistics);
        let parts = self.each(Mover::prepare, parts)?;
        let start = Instant::now();
        let moved = self.pass(&parts, (route.target, direction));
        self.times.pass_ns += nanoseconds(start);
        moved?;
        let counted = Counts::read(&self.statistics).since(before);
        let (first, second) = self.each(Mover::look_again, parts)?;
        let parts: Vec<_> = std::iter::once(first).chain(second).collect();
        let longest = |of: fn(&Part) -> u64| parts.iter().map(of).max().unwrap_or(0);
        self.times.look_ns += longest(|part| part.look_ns);
        self.times.program_ns += longest(|part| part.program_ns);
        Ok(self.judge(&parts, candidates, route, counted))
    }

    /// Shares a batch out among the workers, by frame.
    fn share(&self, candidates: &[Candidate]) -> Parts {
        let mut places: Vec<_> = (0..candidates.len()).collect();
        places.sort_unstable_by_key(|&place| candidates[place].folio.head);
        let is_shared = self.second.is_some() && places.len() >= SHARED_MIN;
        let (first, second) = match is_shared {
            true => places.split_at(places.len() / 2),
            false => (&*places, &[][..]),
        };
        let second = is_shared.then(|| Part::new(second, candidates));
        (Part::new(first, candidates), second)
    }

    /// Has each worker do the same with its part, side by side.
    fn each(&mut self, step: Step, (mut first, second): Parts) -> Result<Parts, ActuatorError> {
        let busy = match (&self.second, second) {
            (Some(worker), Some(part)) => {
                worker.begin(step, part)?;
                Some(worker)
            }
            _ => None,
        };
        let done = step(&mut self.first, &mut first);
        // Also where the first has failed.
        let second = busy.map(Second::finish).transpose();
        done?;
        Ok((first, second?))
    }

    /// Has each worker make its pass. Nothing moves any more when this has returned, unless DAMON itself
    /// does not answer.
    fn pass(
        &mut self,
        (first, second): &Parts,
        (target, direction): (NodeId, Direction),
    ) -> Result<(), DamonError> {
        let mut other = self.second.as_ref().map(Second::mover);
        let begun = match (&mut other, second) {
            (Some(mover), Some(part)) if part.is_tried() => mover.kdamond.begin(target, direction),
            _ => Ok(()),
        };
        let begun = begun.and_then(|()| match first.is_tried() {
            true => self.first.kdamond.begin(target, direction),
            false => Ok(()),
        });
        // The first is woken by its end, the second by the clock.
        let ended = self.first.kdamond.end();
        let other_ended = other.map_or(Ok(()), |mut mover| mover.kdamond.end());
        begun.and(ended).and(other_ended)
    }

    /// What became of each, by what the machine counted meanwhile.
    fn judge(
        &mut self,
        parts: &[Part],
        candidates: &[Candidate],
        route: Route,
        counted: Counts,
    ) -> Vec<Fate> {
        let tried: Vec<_> = parts.iter().flat_map(Part::tried).collect();
        let tried_candidates: Vec<_> = tried.iter().map(|one| candidates[one.place]).collect();
        let looks: Vec<_> = tried
            .iter()
            .zip(whereabouts(&tried_candidates))
            .map(|(one, now)| Look {
                pages: candidates[one.place].folio.pages,
                before: one.before,
                after: one.after,
                place: now,
            })
            .collect();
        let room = Room::of(&self.places.procfs, route.target);
        let taken_elsewhere = counted.taken_elsewhere.is_some_and(|pages| pages > 0);
        let meanwhile = Meanwhile {
            moved: counted.moved,
            may_stray: taken_elsewhere && !room.holds(MARGIN_PAGES),
        };
        let judged = fates::judge(&looks, route, meanwhile, |pages| room.holds(pages));
        if let Some((counted, told)) = judged.difference {
            log::warn!(
                "The kernel moved {counted} pages and {told} left their frames: some were freed meanwhile"
            );
        }
        let mut fates = vec![Fate::Stayed; candidates.len()];
        for (place, fate) in parts.iter().flat_map(Part::refused) {
            fates[place] = fate;
        }
        for (one, fate) in tried.iter().zip(judged.fates) {
            let head = candidates[one.place].folio.head;
            fates[one.place] = self.stayers.judge(head, fate);
        }
        fates
    }

    fn batch_max(&self) -> usize {
        self.first.batch_max()
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
        let mut fates = vec![Fate::Stayed; batch.candidates.len()];
        let room = Room::of(&self.places.procfs, batch.route.target);
        let may_fill = || !room.holds(batch.pages().saturating_add(MARGIN_PAGES));
        for places in passes::of(&batch.candidates, self.batch_max(), may_fill) {
            if stop.is_raised() {
                break;
            }
            let candidates: Vec<_> = places
                .iter()
                .map(|&place| batch.candidates[place])
                .collect();
            let told = self.promote(&candidates, (batch.route, batch.direction))?;
            for (place, fate) in places.into_iter().zip(told) {
                fates[place] = fate;
            }
        }
        Ok(fates)
    }
}

/// A second worker; none where it cannot be had, as the first does all that it would.
fn set_up_second(places: &Places) -> Option<Second> {
    match Mover::set_up(places, Wake::Clock).and_then(Second::start) {
        Ok(second) => Some(second),
        Err(error) => {
            let why = words::describe(&error);
            log::warn!("Pages are moved by one DAMON worker, as a second cannot be set up: {why}");
            None
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
