// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A worker and its part of a batch.

use std::time::Instant;

use chmu_machine::memory::page_flags::{PageFlags, PageFlagsFile};
use chmu_spec::address::Pfn;

use super::super::fates;
use super::super::regions;
use super::kdamond::{Kdamond, Wake};
use super::{MOVERS_MAX, nanoseconds};
use crate::actuator::ActuatorError;
use crate::batch::{Candidate, Fate, Folio};
use crate::damon::Places;
use crate::damon::workers::Worker;

/// A worker, and its claim, which is dropped after the worker was switched off.
#[derive(Debug)]
pub(super) struct Mover {
    pub(super) kdamond: Kdamond,
    page_flags: PageFlagsFile,
    _worker: Worker,
}

/// What one worker moves of a batch.
#[derive(Debug)]
pub(super) struct Part {
    /// Each folio's place among the candidates, and the folio, by frame.
    folios: Vec<(usize, Folio)>,
    /// Their first frames just before.
    before: Vec<PageFlags>,
    /// Why some of them cannot be tried.
    obstacles: Vec<Option<Fate>>,
    /// The first frames of those that were tried, afterwards.
    after: Vec<PageFlags>,
    pub(super) look_ns: u64,
    pub(super) program_ns: u64,
}

/// A folio that was tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    /// Its place among the candidates.
    pub(super) place: usize,
    pub(super) before: PageFlags,
    pub(super) after: PageFlags,
}

impl Part {
    /// The candidates at these places, which are in the order of frames.
    pub(super) fn new(places: &[usize], candidates: &[Candidate]) -> Part {
        let folios = places.iter().map(|&place| (place, candidates[place].folio));
        Part {
            folios: folios.collect(),
            before: Vec::new(),
            obstacles: Vec::new(),
            after: Vec::new(),
            look_ns: 0,
            program_ns: 0,
        }
    }

    fn heads(&self) -> Vec<Pfn> {
        self.folios.iter().map(|(_, folio)| folio.head).collect()
    }

    /// Whether there is anything to try.
    pub(super) fn is_tried(&self) -> bool {
        self.obstacles.iter().any(Option::is_none)
    }

    /// The first frames of those that are tried.
    fn tried_heads(&self) -> Vec<Pfn> {
        let both = self.folios.iter().zip(&self.obstacles);
        let tried = both.filter(|(_, obstacle)| obstacle.is_none());
        tried.map(|((_, folio), _)| folio.head).collect()
    }

    /// Those that cannot be tried: their places among the candidates, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (usize, Fate)> {
        let both = self.folios.iter().zip(&self.obstacles);
        both.filter_map(|((place, _), obstacle)| obstacle.map(|fate| (*place, fate)))
    }

    /// Those that were tried.
    pub(super) fn tried(&self) -> impl Iterator<Item = Tried> {
        let all = self.folios.iter().zip(&self.before).zip(&self.obstacles);
        let tried = all.filter(|(_, obstacle)| obstacle.is_none());
        tried
            .zip(&self.after)
            .map(|((((place, _), before), _), after)| Tried {
                place: *place,
                before: *before,
                after: *after,
            })
    }
}

impl Mover {
    pub(super) fn set_up(places: &Places, wake: Wake) -> Result<Mover, ActuatorError> {
        let page_flags = PageFlagsFile::open(&places.procfs.join("kpageflags"))?;
        let worker = Worker::claim(places)?;
        let kdamond = Kdamond::set_up(worker.folder(), &places.procfs, wake, MOVERS_MAX)?;
        Ok(Mover {
            kdamond,
            page_flags,
            _worker: worker,
        })
    }

    /// Whether another one may work beside it.
    pub(super) fn counts_passes(&self) -> bool {
        self.kdamond.counts_passes()
    }

    /// Most folios of a part.
    pub(super) fn batch_max(&self) -> usize {
        self.kdamond.slots.limit()
    }

    pub(super) fn page_flag_reads(&self) -> u64 {
        self.page_flags.reads()
    }

    /// Looks at a part, and tells the worker those of its folios that can move.
    pub(super) fn prepare(&mut self, part: &mut Part) -> Result<(), ActuatorError> {
        let start = Instant::now();
        part.before = self.page_flags.read_each(&part.heads())?;
        part.look_ns += nanoseconds(start);
        let seen = part.folios.iter().zip(&part.before);
        let obstacles = seen.map(|((_, folio), flags)| fates::obstacle(folio.pages, *flags));
        part.obstacles = obstacles.collect();
        let start = Instant::now();
        let regions = regions::coalesce(&part.tried_heads());
        if !regions.is_empty() {
            self.kdamond.program(&regions)?;
        }
        part.program_ns += nanoseconds(start);
        Ok(())
    }

    /// Looks at what was tried.
    pub(super) fn look_again(&mut self, part: &mut Part) -> Result<(), ActuatorError> {
        let start = Instant::now();
        part.after = self.page_flags.read_each(&part.tried_heads())?;
        part.look_ns += nanoseconds(start);
        Ok(())
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        if let Err(error) = self.kdamond.end() {
            log::warn!("DAMON goes on: {error}; chmu reset takes it back");
        }
    }
}
