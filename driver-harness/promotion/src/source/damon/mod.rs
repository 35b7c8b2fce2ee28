// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotness from DAMON: of physical memory, or of a process by the accessed bits of its page tables.
//!
//! DAMON looks at one page of each region for all of it, which says where memory is in use, and little of scattered
//! pages. So it is asked twice: first over all memory for regions in which anything was accessed, then over the
//! pages of these, each by a region of its own, for how many of twenty looks found it accessed. Hot are the pages that
//! nearly all found so while others are apart (`groups.rs`); while there are none, looks come further apart. Pages that
//! were hot are asked for once more, and, where looks were further apart than need be, with half of that time: where
//! nearly all of these find them accessed as well, all has got faster since, and nothing is told.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use chmu_machine::stop::StopFlag;
use chmu_spec::address::Pfn;

use super::groups::{Groups, Shape};
use super::{HotnessSource, SourceError};
use crate::damon::{DamonError, Places};
use crate::report::{
    Facts, Health, HotExtent, Knowledge, Place, Report, SourceKind, Tuning, Weight, WeightKind,
};
use looks::{Looks, Target, Unit};

mod looks;
#[cfg(test)]
mod tests;

/// Time between two looks, at first and at most, where nobody wishes another.
const SAMPLE: RangeInclusive<Duration> = Duration::from_millis(32)..=Duration::from_millis(512);
/// The shortest of a user's, and the longest at which a busy machine begins.
const SAMPLE_MIN: Duration = Duration::from_millis(1);
const BUSY_SAMPLE_MAX: Duration = Duration::from_millis(128);
/// Looks of one question.
const LOOKS: u64 = 20;
/// With more answers in a row that come too late looks must be further apart.
const LATE_MAX: u32 = 3;
/// Questions about the same pages.
const QUESTIONS_MAX: u64 = 4;
/// Pages that are asked for in one round, and in one question: half of the regions that DAMON keeps apart.
const UNITS_MAX: usize = 4096;
const QUESTION_UNITS: usize = 500;

/// Memory that DAMON watches.
#[derive(Debug)]
pub struct DamonSource {
    facts: Facts,
    looks: Box<dyn Looks>,
    /// Time between two looks, and that with which a round begins.
    sample: Duration,
    first_sample: Duration,
    threshold: Option<u64>,
    round: Option<Round>,
    /// No access that the next report tells of was made before.
    earliest_ns: u64,
    health: Health,
}

/// Questions about the same pages.
#[derive(Debug)]
struct Round {
    kind: Kind,
    /// Pages of questions that are still to be asked.
    questions: Vec<Vec<Unit>>,
    units: Vec<Unit>,
    /// Looks that each page had.
    count: u64,
    /// Answers in a row that came too late; such a question is asked again.
    late: u32,
    hits: BTreeMap<Unit, u64>,
}

/// What a round is to find out.
#[derive(Debug)]
enum Kind {
    /// Which pages are hot.
    First,
    /// Which of them still are.
    Second,
    /// Whether these are in nearly all looks with half of the time between them.
    Check(Vec<(Unit, u64)>),
}

impl Round {
    fn of(kind: Kind, units: Vec<Unit>) -> Round {
        Round {
            kind,
            questions: apart(&units),
            units,
            count: 0,
            late: 0,
            hits: BTreeMap::new(),
        }
    }
}

impl DamonSource {
    /// Watches the memory of all nodes that pages are promoted from: by the accessed bits of whoever maps
    /// its pages, and by the kernel's own mark for pages of files that are read.
    ///
    /// # Errors
    /// When DAMON cannot do it, somebody else uses it, or there is no slow memory.
    pub fn of_slow_memory(places: Places) -> Result<DamonSource, SourceError> {
        let looks = looks::Kernel::start(places, Target::SlowMemory)?;
        Ok(DamonSource::new(Box::new(looks), Target::SlowMemory))
    }

    /// Watches a process by the accessed bits of its page tables.
    ///
    /// # Errors
    /// When there is no such process, DAMON cannot do it, or somebody else uses it.
    pub fn of_process(places: Places, process_id: u32) -> Result<DamonSource, SourceError> {
        let target = Target::Process(process_id);
        let looks = looks::Kernel::start(places, target)?;
        Ok(DamonSource::new(Box::new(looks), target))
    }

    fn new(looks: Box<dyn Looks>, target: Target) -> DamonSource {
        let (name, kind) = match target {
            Target::SlowMemory => ("damon".to_owned(), SourceKind::Damon),
            Target::Process(id) => (format!("accessed:{id}"), SourceKind::AccessedBits),
        };
        let is_physical = kind == SourceKind::Damon;
        DamonSource {
            facts: Facts {
                name,
                kind,
                unit_bytes: None,
                granted_epoch_ns: Some(epoch_ns(*SAMPLE.start())),
                wished_epoch_ns: None,
                knows: Knowledge {
                    frames: is_physical,
                    processes: !is_physical,
                    some_nodes_only: is_physical,
                    accessors_node: false,
                },
                counts: counts(*SAMPLE.start()),
            },
            earliest_ns: looks.now_ns(),
            looks,
            sample: *SAMPLE.start(),
            first_sample: *SAMPLE.start(),
            threshold: None,
            round: None,
            health: Health::Good,
        }
    }

    /// Asks one question; what rounds found, when they are over.
    fn step(&mut self, stop: &StopFlag) -> Result<Option<Report>, DamonError> {
        let Some(round) = &mut self.round else {
            self.earliest_ns = self.looks.now_ns();
            self.take_sample(self.first_sample);
            let units = self.looks.units_in_use(UNITS_MAX, stop)?;
            self.round = (!units.is_empty()).then(|| Round::of(Kind::First, units));
            return Ok(None);
        };
        let sample = match round.kind {
            Kind::Check(_) => self.sample / 2,
            _ => self.sample,
        };
        if let Some(units) = round.questions.pop() {
            match self.looks.look(&units, sample, stop)? {
                Some(found) => {
                    round.late = 0;
                    for (unit, more) in found {
                        *round.hits.entry(unit).or_default() += more;
                    }
                }
                None if round.late < LATE_MAX => {
                    round.late += 1;
                    round.questions.push(units);
                }
                None => {
                    self.round = None;
                    self.log("looks came too late");
                    self.first_sample = (self.first_sample * 2).min(BUSY_SAMPLE_MAX);
                }
            }
            return Ok(None);
        }
        round.count += LOOKS;
        let Some(round) = self.round.take() else {
            return Ok(None);
        };
        Ok(self.judge(round))
    }

    /// What all questions of a round tell.
    fn judge(&mut self, mut round: Round) -> Option<Report> {
        let shape = Shape::of(round.count, round.hits.values().copied());
        if let Kind::Check(hot) = &round.kind {
            if shape.are_too_long(hot.len() as u64) {
                self.log("all pages were accessed more often at last");
                return None;
            }
            return Some(self.tell(hot));
        }
        let is_last = round.count >= LOOKS * QUESTIONS_MAX;
        let least = match (shape.groups(None, is_last), self.threshold) {
            (_, Some(least)) => least * round.count / LOOKS,
            (Groups::Apart { least }, None) => least,
            (Groups::TooShort, None) => {
                self.log("no page is seen accessed by nearly all looks");
                let longer = self.sample * 2;
                if matches!(round.kind, Kind::First) && longer <= *SAMPLE.end() && !self.is_wished()
                {
                    self.take_sample(longer);
                    self.round = Some(Round::of(Kind::First, round.units));
                }
                return None;
            }
            (Groups::Unclear, None) if !is_last => {
                round.questions = apart(&round.units);
                self.round = Some(round);
                return None;
            }
            (Groups::Unclear | Groups::TooLong, None) => {
                self.log("looks do not tell groups of pages apart");
                return None;
            }
        };
        let hot: Vec<_> = round
            .hits
            .into_iter()
            .filter(|(_, hits)| *hits >= least)
            .collect();
        let units: Vec<_> = hot.iter().map(|(unit, _)| *unit).collect();
        let next = match round.kind {
            Kind::First => Kind::Second,
            _ if self.is_wished() || self.sample <= *SAMPLE.start() => {
                return Some(self.tell(&hot));
            }
            _ => Kind::Check(hot),
        };
        self.round = (!units.is_empty()).then(|| Round::of(next, units));
        None
    }

    /// Tells what is hot, with which others begin.
    fn tell(&mut self, hot: &[(Unit, u64)]) -> Report {
        let report = Report {
            extents: hot
                .iter()
                .map(|(unit, hits)| self.extent(*unit, *hits))
                .collect(),
            ..self.nothing()
        };
        if !self.is_wished() {
            self.first_sample = (self.first_sample / 2).max(*SAMPLE.start());
        }
        report
    }

    /// Somebody wished for a time between two looks.
    fn is_wished(&self) -> bool {
        self.facts.wished_epoch_ns.is_some()
    }

    fn extent(&self, unit: Unit, hits: u64) -> HotExtent {
        let place = match self.looks.target() {
            Target::SlowMemory => Place::Frames {
                start: Pfn(unit.start / chmu_machine::memory::PAGE_BYTES),
                pages: unit.pages,
            },
            Target::Process(process_id) => Place::Addresses {
                process_id,
                start: unit.start,
                pages: unit.pages,
            },
        };
        HotExtent {
            place,
            weight: Weight {
                kind: self.facts.counts,
                value: hits,
            },
            sharing_pages: unit.pages,
            unit: None,
        }
    }

    fn take_sample(&mut self, sample: Duration) {
        self.sample = sample;
        self.facts.granted_epoch_ns = Some(epoch_ns(sample));
        self.facts.counts = counts(sample);
    }

    fn nothing(&self) -> Report {
        Report {
            handed_out_ns: self.looks.now_ns(),
            earliest_access_ns: self.earliest_ns,
            ..Report::default()
        }
    }

    fn log(&self, what: &str) {
        log::debug!(
            "{}: {what}, with {:?} between two; this round tells nothing",
            self.facts.name,
            self.sample
        );
    }
}

impl HotnessSource for DamonSource {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    /// One question may last longer than until the deadline.
    fn poll(&mut self, deadline_ns: u64, stop: &StopFlag) -> Result<Report, SourceError> {
        loop {
            let step = self.step(stop);
            if stop.is_raised() {
                return Ok(self.nothing());
            }
            if let Some(reason) = self.looks.end() {
                self.health = Health::Gone(reason);
                return Ok(self.nothing());
            }
            match step? {
                Some(report) => return Ok(report),
                None if self.looks.now_ns() >= deadline_ns => return Ok(self.nothing()),
                None => {}
            }
        }
    }

    fn retune(&mut self, wish: &Tuning) -> Result<Tuning, SourceError> {
        if let Some(wished_ns) = wish.epoch_ns {
            self.first_sample = Duration::from_nanos(wished_ns / LOOKS).max(SAMPLE_MIN);
            self.facts.wished_epoch_ns = Some(wished_ns);
        }
        let wished = wish.threshold.map(|threshold| threshold.clamp(1, LOOKS));
        self.threshold = wished.or(self.threshold);
        self.take_sample(self.first_sample);
        self.round = None;
        Ok(Tuning {
            threshold: self.threshold,
            epoch_ns: self.facts.granted_epoch_ns,
            ..Tuning::default()
        })
    }

    fn health(&self) -> Health {
        self.health.clone()
    }
}

/// Questions in which no two units are neighbours: DAMON would join these.
fn apart(units: &[Unit]) -> Vec<Vec<Unit>> {
    let mut sets: [Vec<Unit>; 2] = Default::default();
    let mut last: Option<(Unit, usize)> = None;
    for &unit in units {
        let set = match last {
            Some((before, set)) if before.end() == unit.start => 1 - set,
            _ => 0,
        };
        sets[set].push(unit);
        last = Some((unit, set));
    }
    let questions = sets.iter().flat_map(|set| set.chunks(QUESTION_UNITS));
    questions.map(<[Unit]>::to_vec).collect()
}

fn epoch_ns(sample: Duration) -> u64 {
    nanoseconds(sample).saturating_mul(LOOKS)
}

fn counts(sample: Duration) -> WeightKind {
    WeightKind::Intervals {
        interval_ns: nanoseconds(sample),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether a process lives.
fn lives(procfs: &Path, process_id: u32) -> bool {
    procfs.join(process_id.to_string()).exists()
}
