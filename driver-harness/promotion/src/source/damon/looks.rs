// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What DAMON is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::memory::page_flags::{PageFlags, PageFlagsFile};
use chmu_machine::memory::page_map::PageMap;
use chmu_machine::memory::translations::Visitor;
use chmu_machine::stop::StopFlag;
use chmu_machine::targets::Targets;
use chmu_machine::topology::Topology;
use chmu_machine::words;
use chmu_spec::address::Pfn;

use super::{LOOKS, lives, nanoseconds};
use crate::damon::monitor::{Attributes, Monitor, Region, Shown, Watched};
use crate::damon::{DamonError, Places};
use crate::folio::FOLIO_PAGES_MAX;
use crate::source::SourceError;

/// Where anything is in use is asked with so much time between two looks, so many in an interval,
const SCOUT_SAMPLE: Duration = Duration::from_millis(10);
const SCOUT_LOOKS: u32 = 10;
/// for so long, in which DAMON splits regions ten times; and then so many intervals count.
const SCOUT_TIME: Duration = Duration::from_secs(1);
const SCOUT_READINGS: u32 = 4;
/// What is left of a question's time when its answer is asked for: DAMON answers at the end of an interval.
const LAST_PART: u32 = 10;
/// An answer may be that of the interval after the first. One that takes so many times as long as the first tells nothing.
const LATE_TIMES: u32 = 3;
/// Looking pages up costs up to a millisecond for each processor: between two visits is at least so much.
const VISIT_MIN: Duration = Duration::from_millis(8);

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The memory of nodes that pages are promoted from.
    SlowMemory,
    /// A process.
    Process(u32),
}

/// What is known by one accessed bit: a page, or a large folio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unit {
    /// Physical or virtual address of the first byte.
    pub(super) start: u64,
    pub(super) pages: u64,
}

impl Unit {
    pub(super) fn end(self) -> u64 {
        self.start.saturating_add(self.pages * PAGE_BYTES)
    }
}

/// Whoever answers, and the time.
pub(super) trait Looks: std::fmt::Debug + Send {
    fn target(&self) -> Target;
    /// Units of regions in which something is in use, ascending; of the busiest, when there are more than `most`.
    fn units_in_use(&mut self, most: usize, stop: &StopFlag) -> Result<Vec<Unit>, DamonError>;
    /// By how many of the looks each of these was accessed, for those that any found; no two are neighbours. None
    /// when looks were further apart than they were to be.
    fn look(
        &mut self,
        units: &[Unit],
        sample: Duration,
        stop: &StopFlag,
    ) -> Result<Option<BTreeMap<Unit, u64>>, DamonError>;
    /// Why nothing will be answered any more; none while it is.
    fn end(&self) -> Option<String>;
    fn now_ns(&self) -> u64;
}

/// The kernel's DAMON.
#[derive(Debug)]
pub(super) struct Kernel {
    places: Places,
    target: Target,
    /// Addresses of the slow memory, ascending.
    slow: Vec<Range<u64>>,
    flags: Option<PageFlagsFile>,
    visitor: Option<Visitor>,
}

impl Kernel {
    pub(super) fn start(places: Places, target: Target) -> Result<Kernel, SourceError> {
        if let Target::Process(process_id) = target
            && !lives(&places.procfs, process_id)
        {
            return Err(SourceError::NoProcess { process_id });
        }
        let slow = slow_memory(&Topology::read(&places.sysfs)?);
        if slow.is_empty() {
            return Err(SourceError::NoSlowMemory);
        }
        let visitor = Visitor::new();
        if let Err(error) = &visitor {
            log::warn!("DAMON may take pages in use for idle: {error}");
        }
        let kernel = Kernel {
            flags: PageFlagsFile::open(Path::new("/proc/kpageflags")).ok(),
            visitor: visitor.ok(),
            places,
            target,
            slow,
        };
        // What the kernel lacks or refuses is said at the start.
        drop(Monitor::start(&kernel.places, &kernel.all(), scout())?);
        Ok(kernel)
    }

    /// All that may be watched.
    fn all(&self) -> Watched {
        match self.target {
            Target::SlowMemory => Watched::Frames(self.slow.iter().map(frames).collect()),
            Target::Process(process_id) => Watched::Process(process_id),
        }
    }

    /// Waits, and has processors look translations up anew meanwhile; whether to go on.
    fn wait(&self, time: Duration, visit: Duration, stop: &StopFlag) -> bool {
        let end_ns = clock::monotonic_ns().saturating_add(nanoseconds(time));
        loop {
            let left_ns = end_ns.saturating_sub(clock::monotonic_ns());
            if left_ns == 0 {
                return true;
            }
            self.visit();
            if stop.sleep(visit.min(Duration::from_nanos(left_ns))) {
                return false;
            }
        }
    }

    fn visit(&self) {
        if let Some(visitor) = &self.visitor
            && let Err(error) = visitor.visit_all()
        {
            log::debug!("Processors keep translations: {}", words::describe(&error));
        }
    }

    /// Reads at the end of an interval; visits go on until then.
    fn read(&self, monitor: &Monitor, visit: Duration) -> Result<Vec<Region>, DamonError> {
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| monitor.read());
            while !reading.is_finished() {
                self.visit();
                std::thread::sleep(visit);
            }
            match reading.join() {
                Ok(regions) => regions,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// The units of a region that are on slow memory now.
    fn units(&self, region: &Region) -> Vec<Unit> {
        let frames: Vec<(u64, Pfn)> = match self.target {
            Target::SlowMemory => {
                // A large folio may begin before the region.
                let first = region.start / PAGE_BYTES;
                let start = first - first % FOLIO_PAGES_MAX;
                let all = start..first + region.pages;
                all.map(|frame| (frame * PAGE_BYTES, Pfn(frame))).collect()
            }
            Target::Process(process_id) => {
                let map = PageMap::open_below(&self.places.procfs, process_id);
                let found = map.and_then(|map| map.frames(region.start, region.pages));
                let address = |page: u64| region.start + page * PAGE_BYTES;
                let found = (0..).zip(found.unwrap_or_default());
                found
                    .filter_map(|(page, frame)| Some((address(page), frame?)))
                    .collect()
            }
        };
        let is_slow = |(_, frame): &(u64, Pfn)| {
            let address = frame.0 * PAGE_BYTES;
            self.slow.iter().any(|range| range.contains(&address))
        };
        let frames: Vec<_> = frames.into_iter().filter(is_slow).collect();
        let flags = self.flags_of(&frames);
        let mut units = units(&frames, &flags);
        units.retain(|unit| unit.end() > region.start);
        units
    }

    /// Without the right to read them every page is one by itself.
    fn flags_of(&self, frames: &[(u64, Pfn)]) -> Vec<PageFlags> {
        let plain = vec![PageFlags::LRU; frames.len()];
        let Some(file) = &self.flags else {
            return plain;
        };
        let mut flags = Vec::with_capacity(frames.len());
        for run in frames.chunk_by(|one, next| one.1.0 + 1 == next.1.0) {
            match file.read_range(run[0].1.0..run[0].1.0 + run.len() as u64) {
                Ok(read) if read.len() == run.len() => flags.extend(read),
                _ => return plain,
            }
        }
        flags
    }
}

impl Looks for Kernel {
    fn target(&self) -> Target {
        self.target
    }

    fn units_in_use(&mut self, most: usize, stop: &StopFlag) -> Result<Vec<Unit>, DamonError> {
        let visit = (SCOUT_SAMPLE * 2).max(VISIT_MIN);
        let monitor = Monitor::start(&self.places, &self.all(), scout())?;
        let mut regions = Vec::new();
        let mut is_going_on = self.wait(SCOUT_TIME, visit, stop);
        for _ in 0..SCOUT_READINGS {
            if is_going_on {
                regions.extend(self.read(&monitor, visit)?);
                is_going_on = self.wait(SCOUT_SAMPLE, visit, stop);
            }
        }
        drop(monitor);
        regions.sort_unstable_by_key(|region| {
            (std::cmp::Reverse(region.looks), region.pages, region.start)
        });
        let mut found = BTreeSet::new();
        for region in regions {
            if found.len() < most {
                found.extend(self.units(&region));
            }
        }
        Ok(found.into_iter().take(most).collect())
    }

    fn look(
        &mut self,
        units: &[Unit],
        sample: Duration,
        stop: &StopFlag,
    ) -> Result<Option<BTreeMap<Unit, u64>>, DamonError> {
        let ranges = units.iter().map(|unit| unit.start..unit.start + PAGE_BYTES);
        let watched = match self.target {
            Target::SlowMemory => Watched::Frames(ranges.map(|range| frames(&range)).collect()),
            Target::Process(process_id) => Watched::Addresses(process_id, ranges.collect()),
        };
        let looks = u32::try_from(LOOKS).unwrap_or(u32::MAX);
        let attributes = Attributes {
            sample,
            looks,
            shown: Shown::Hot(1),
        };
        let visit = (sample / 2).max(VISIT_MIN);
        let monitor = Monitor::start(&self.places, &watched, attributes)?;
        let begin_ns = clock::monotonic_ns();
        let time = sample * looks;
        if !self.wait(time - time / LAST_PART, visit, stop) {
            return Ok(None);
        }
        let found = self.read(&monitor, visit)?;
        let taken_ns = clock::monotonic_ns().saturating_sub(begin_ns);
        if taken_ns > nanoseconds(time * LATE_TIMES) {
            log::debug!("DAMON took {taken_ns} ns for {time:?}");
            return Ok(None);
        }
        let found: BTreeMap<u64, u64> = found
            .iter()
            .map(|region| (region.start, region.looks.min(LOOKS)))
            .collect();
        let hit = units
            .iter()
            .filter_map(|unit| Some((*unit, *found.get(&unit.start)?)));
        Ok(Some(hit.collect()))
    }

    fn end(&self) -> Option<String> {
        match self.target {
            Target::Process(process_id) if !lives(&self.places.procfs, process_id) => {
                Some(format!("Process {process_id} has ended"))
            }
            _ => None,
        }
    }

    fn now_ns(&self) -> u64 {
        clock::monotonic_ns()
    }
}

/// What pages are known by: themselves, or the large folio that they begin.
pub(super) fn units(frames: &[(u64, Pfn)], flags: &[PageFlags]) -> Vec<Unit> {
    let not_there = PageFlags::BUDDY | PageFlags::NOPAGE | PageFlags::OFFLINE | PageFlags::HUGE;
    let mut units: Vec<Unit> = Vec::new();
    for ((address, _), flags) in frames.iter().zip(flags) {
        match units.last_mut() {
            Some(folio) if flags.contains(PageFlags::COMPOUND_TAIL) && folio.end() == *address => {
                folio.pages += 1;
            }
            _ if flags.intersects(not_there | PageFlags::COMPOUND_TAIL) => {}
            _ => units.push(Unit {
                start: *address,
                pages: 1,
            }),
        }
    }
    units
}

fn scout() -> Attributes {
    Attributes {
        sample: SCOUT_SAMPLE,
        looks: SCOUT_LOOKS,
        shown: Shown::Hot(1),
    }
}

/// The memory of nodes that pages are promoted from, ascending.
fn slow_memory(topology: &Topology) -> Vec<Range<u64>> {
    topology
        .memory()
        .filter(|(_, node)| Targets::of(topology, *node).is_ok())
        .map(|(frames, _)| frames.start.0 * PAGE_BYTES..frames.end.0 * PAGE_BYTES)
        .collect()
}

fn frames(addresses: &Range<u64>) -> Range<u64> {
    addresses.start / PAGE_BYTES..addresses.end / PAGE_BYTES
}
