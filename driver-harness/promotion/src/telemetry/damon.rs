// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Fast memory watched by DAMON (mm/damon/paddr.c): by the accessed bits of whoever maps its pages, and
//! by the kernel's own mark for pages of files that are read.
//!
//! A worker is set up for each question, with a region for each frame, and shows those that are idle.

use std::collections::BTreeSet;
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::memory::translations::Visitor;
use chmu_machine::stop::StopFlag;
use chmu_machine::targets::DemotionTargets;
use chmu_machine::topology::Topology;

use super::witness::Witness;
use super::{Telemetry, TelemetryError, Watch, Watched};
use crate::damon::Places;
use crate::damon::monitor::{self, Attributes, Monitor, Shown};
use crate::damon::workers::Worker;

/// Between two looks at a frame, which is an interval of DAMON. Linux 6.12 lets nobody else write to DAMON's files
/// while somebody waits for the end of one, so that it must be short.
const SAMPLE: Duration = Duration::from_millis(200);
const LOOKS: u32 = 1;
/// Frames that are watched at a time, with one that nobody uses: half of the regions that DAMON keeps apart.
const FRAMES_MAX: usize = 500;
/// Processors look up anew where a page is so often: twice between two looks at a frame.
const VISIT: Duration = Duration::from_millis(100);
/// Between two readings when DAMON has not looked for as long as was asked.
const AGAIN: Duration = Duration::from_millis(400);

/// DAMON, watching fast memory.
#[derive(Debug)]
pub struct DamonTelemetry {
    places: Places,
    visitor: Visitor,
    witness: Option<Witness>,
}

impl DamonTelemetry {
    /// For the memory of all nodes that pages are demoted from.
    ///
    /// # Errors
    /// When there is no such memory, DAMON is not to be had, or this program may not run on all processors.
    pub fn new(places: Places) -> Result<DamonTelemetry, TelemetryError> {
        let topology = Topology::read(&places.sysfs)?;
        let mut nodes = topology.memory().map(|(_, node)| node);
        if !nodes.any(|node| DemotionTargets::of(&topology, node).is_ok()) {
            return Err(TelemetryError::NoFastMemory);
        }
        drop(Worker::claim(&places)?);
        let visitor = Visitor::new().map_err(TelemetryError::Translations)?;
        Ok(DamonTelemetry {
            places,
            visitor,
            witness: Witness::new(),
        })
    }

    /// Has processors look translations up anew for so long.
    fn visit(&self, time: Duration, stop: &StopFlag) -> Result<(), TelemetryError> {
        let end_ns = clock::monotonic_ns().saturating_add(nanoseconds(time));
        while clock::monotonic_ns() < end_ns {
            self.visitor
                .visit_all()
                .map_err(TelemetryError::Translations)?;
            if stop.sleep(VISIT) {
                return Err(TelemetryError::Stopped);
            }
        }
        Ok(())
    }
}

impl Telemetry for DamonTelemetry {
    fn name(&self) -> &'static str {
        "damon"
    }

    fn frames_max(&self) -> usize {
        FRAMES_MAX
    }

    fn watch(&mut self, watch: &Watch, stop: &StopFlag) -> Result<Watched, TelemetryError> {
        let intervals = intervals_of(watch.idle_ns);
        let witness = self.witness.as_ref();
        let witness = witness.and_then(|witness| witness.frame_apart_from(&watch.frames));
        let mut frames = watch.frames.clone();
        frames.extend(witness);
        frames.sort_unstable();
        let regions = frames.iter().map(|frame| frame.0..frame.0 + 1);
        let attributes = Attributes {
            sample: SAMPLE,
            looks: LOOKS,
            shown: Shown::IdlePages(intervals),
        };
        let watched = monitor::Watched::Frames(regions.collect());
        let monitor = Monitor::start(&self.places, &watched, attributes)?;
        self.visit(interval() * intervals, stop)?;
        let mut idle = BTreeSet::new();
        let mut until_ns = clock::monotonic_ns();
        // Nothing is shown before it was idle for long enough, the page that nobody uses neither. DAMON is late on a
        // busy machine. Where there is no such page, or somebody else has its frame now: each reading waits for the
        // end of an interval, and after so many, as many have passed by DAMON's own clock.
        for _ in 0..intervals {
            self.visit(AGAIN, stop)?;
            // What is read is as of the end of an interval that ends later.
            until_ns = clock::monotonic_ns();
            idle = monitor.read_starts()?.into_iter().collect();
            if !idle.is_empty() {
                break;
            }
        }
        let accessed = watch.frames.iter().map(|frame| !idle.contains(frame));
        Ok(Watched {
            accessed: accessed.collect(),
            idle_ns: nanoseconds(interval() * intervals),
            until_ns,
        })
    }
}

fn interval() -> Duration {
    SAMPLE * LOOKS
}

/// Intervals of DAMON that last so long.
fn intervals_of(idle_ns: u64) -> u32 {
    let intervals = idle_ns.div_ceil(nanoseconds(interval()));
    u32::try_from(intervals).unwrap_or(u32::MAX).max(1)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
