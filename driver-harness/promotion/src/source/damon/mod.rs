// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotness from DAMON: of physical memory, or of a process by the accessed bits of its page tables.
//!
//! What DAMON tells of a region it found out from one page of it, which stands for all. A report says so:
//! all pages of the region share the weight.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::stop::StopFlag;
use chmu_machine::targets::Targets;
use chmu_machine::topology::Topology;
use chmu_spec::address::Pfn;

use super::{HotnessSource, SourceError};
use crate::damon::monitor::{Attributes, Monitor, Region, Watched};
use crate::damon::{DamonError, Places};
use crate::report::{
    Facts, Health, HotExtent, Knowledge, Place, Report, SourceKind, Tuning, Weight, WeightKind,
};

#[cfg(test)]
mod tests;

/// Aggregation interval, DAMON's own default.
const EPOCH: Duration = Duration::from_millis(100);
/// Looks of an aggregation interval that must find an access: a quarter.
const THRESHOLD: u64 = 5;

/// Memory that DAMON watches.
#[derive(Debug)]
pub struct DamonSource {
    facts: Facts,
    watched: Watched,
    monitor: Monitor,
    places: Places,
    /// When the last reading began, and the one before that.
    readings_ns: [u64; 2],
    health: Health,
}

impl DamonSource {
    /// Watches the memory of all nodes that pages are promoted from: by the accessed bits of whoever maps
    /// its pages, and by the kernel's own mark for pages of files that are read.
    ///
    /// # Errors
    /// When DAMON cannot do it, somebody else uses it, or there is no slow memory.
    pub fn of_slow_memory(places: Places) -> Result<DamonSource, SourceError> {
        let topology = Topology::read(&places.sysfs)?;
        let slow = slow_memory(&topology);
        if slow.is_empty() {
            return Err(SourceError::NoSlowMemory);
        }
        DamonSource::start(places, Watched::Frames(slow))
    }

    /// Watches a process by the accessed bits of its page tables.
    ///
    /// # Errors
    /// When there is no such process, DAMON cannot do it, or somebody else uses it.
    pub fn of_process(places: Places, process_id: u32) -> Result<DamonSource, SourceError> {
        if !lives(&places.procfs, process_id) {
            return Err(SourceError::NoProcess { process_id });
        }
        DamonSource::start(places, Watched::Process(process_id))
    }

    fn start(places: Places, watched: Watched) -> Result<DamonSource, SourceError> {
        let begin_ns = clock::monotonic_ns();
        let attributes = Attributes::of_epoch(EPOCH, THRESHOLD);
        let monitor = Monitor::start(&places, &watched, attributes)?;
        let (name, kind) = match &watched {
            Watched::Frames(_) => ("damon".to_owned(), SourceKind::Damon),
            Watched::Process(id) => (format!("accessed:{id}"), SourceKind::AccessedBits),
        };
        let is_physical = kind == SourceKind::Damon;
        let facts = Facts {
            name,
            kind,
            unit_bytes: None,
            granted_epoch_ns: Some(nanoseconds(monitor.attributes().epoch())),
            wished_epoch_ns: None,
            knows: Knowledge {
                frames: is_physical,
                processes: !is_physical,
                some_nodes_only: is_physical,
                accessors_node: false,
            },
            counts: counts(monitor.attributes()),
        };
        Ok(DamonSource {
            facts,
            watched,
            monitor,
            places,
            readings_ns: [begin_ns; 2],
            health: Health::Good,
        })
    }

    /// Reads what was found in the last aggregation interval.
    ///
    /// A number of accesses covers that interval and, smoothed, the one before. Each reading waits for the
    /// end of an interval, so that what it tells began after the reading before the last one had begun,
    /// however late DAMON's thread is.
    fn read(&mut self) -> Result<Report, DamonError> {
        let begin_ns = clock::monotonic_ns();
        let regions = self.monitor.read()?;
        let [before, last] = self.readings_ns;
        self.readings_ns = [last, begin_ns];
        Ok(Report {
            handed_out_ns: clock::monotonic_ns(),
            earliest_access_ns: before,
            extents: regions.iter().map(|region| self.extent(region)).collect(),
            ..Report::default()
        })
    }

    fn extent(&self, region: &Region) -> HotExtent {
        let Region {
            start,
            pages,
            looks,
        } = *region;
        let place = match self.watched {
            Watched::Frames(_) => Place::Frames {
                start: Pfn(start / chmu_machine::memory::PAGE_BYTES),
                pages,
            },
            Watched::Process(process_id) => Place::Addresses {
                process_id,
                start,
                pages,
            },
        };
        HotExtent {
            place,
            // The number is that of any page of it, so that together they have as many times that.
            weight: Weight {
                kind: self.facts.counts,
                value: looks.saturating_mul(pages),
            },
            sharing_pages: pages.max(1),
            unit: None,
        }
    }

    /// Why DAMON watches no more; none while it does.
    fn end(&self) -> Option<String> {
        match self.watched {
            Watched::Process(process_id) if !lives(&self.places.procfs, process_id) => {
                Some(format!("Process {process_id} has ended"))
            }
            _ if !self.monitor.is_on() => {
                Some("Another program has switched the DAMON worker off".to_owned())
            }
            _ => None,
        }
    }
}

impl HotnessSource for DamonSource {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, deadline_ns: u64, stop: &StopFlag) -> Result<Report, SourceError> {
        loop {
            let now_ns = clock::monotonic_ns();
            let next_ns = self.readings_ns[1]
                .saturating_add(nanoseconds(self.monitor.attributes().epoch()))
                .min(deadline_ns);
            let pause = Duration::from_nanos(next_ns.saturating_sub(now_ns));
            if stop.sleep(pause) {
                return Ok(self.nothing());
            }
            if let Some(reason) = self.end() {
                self.health = Health::Gone(reason);
                return Ok(self.nothing());
            }
            if next_ns < self.readings_ns[1].saturating_add(self.interval_ns()) {
                return Ok(self.nothing());
            }
            let report = match self.read() {
                Ok(report) => report,
                // It may have ended while it was asked.
                Err(error) => match self.end() {
                    Some(reason) => {
                        self.health = Health::Gone(reason);
                        return Ok(self.nothing());
                    }
                    None => return Err(error.into()),
                },
            };
            if !report.extents.is_empty() || report.handed_out_ns >= deadline_ns {
                return Ok(report);
            }
        }
    }

    fn retune(&mut self, wish: &Tuning) -> Result<Tuning, SourceError> {
        let now = self.monitor.attributes();
        let epoch = wish.epoch_ns.map_or(now.epoch(), Duration::from_nanos);
        let threshold = wish.threshold.unwrap_or(now.threshold());
        let attributes = Attributes::of_epoch(epoch, threshold);
        if attributes != *now {
            self.monitor.retune(attributes)?;
        }
        let now = self.monitor.attributes();
        self.facts.counts = counts(now);
        let epoch_ns = Some(nanoseconds(now.epoch()));
        self.facts.granted_epoch_ns = epoch_ns;
        Ok(Tuning {
            threshold: Some(now.threshold()),
            epoch_ns,
            ..Tuning::default()
        })
    }

    fn health(&self) -> Health {
        self.health.clone()
    }
}

impl DamonSource {
    fn interval_ns(&self) -> u64 {
        nanoseconds(self.monitor.attributes().epoch())
    }

    fn nothing(&self) -> Report {
        Report {
            handed_out_ns: clock::monotonic_ns(),
            earliest_access_ns: self.readings_ns[0],
            ..Report::default()
        }
    }
}

/// The frames of nodes that pages are promoted from, ascending.
fn slow_memory(topology: &Topology) -> Vec<Range<u64>> {
    topology
        .memory()
        .filter(|(_, node)| Targets::of(topology, *node).is_ok())
        .map(|(frames, _)| frames.start.0..frames.end.0)
        .collect()
}

fn counts(attributes: &Attributes) -> WeightKind {
    WeightKind::Intervals {
        interval_ns: nanoseconds(attributes.sample),
    }
}

fn lives(procfs: &Path, process_id: u32) -> bool {
    procfs.join(process_id.to_string()).exists()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
