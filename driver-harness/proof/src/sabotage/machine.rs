// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The simulated machine as promotion sees it, through promotion's own traits: what it asks, what
//! moves its pages, and what reports hot frames. All of these are honest.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::memory::owners::Owner;
use chmu_machine::memory::page_flags::PageFlags;
use chmu_machine::node::NodeId;
use chmu_machine::topology::{DescribedNode, Topology};
use chmu_machine::watermarks::Headroom;
use chmu_promotion::actuator::{Actuator, ActuatorError, Limits};
use chmu_promotion::report::{
    Facts, HotExtent, Knowledge, Lost, Place, Report, SourceKind, Weight, WeightKind,
};
use chmu_promotion::source::{HotnessSource, SourceError};
use chmu_promotion::telemetry::{Telemetry, TelemetryError, Watch, Watched};
use chmu_promotion::{Batch, Candidate, Fate, Folio, Identity, Machine, MachineError, StopFlag};
use chmu_spec::address::Pfn;

use super::world::{FAR, FAST, NODE_FRAMES, SLOW, World, node_of};

/// Accesses in one epoch from which on a frame is reported.
const THRESHOLD: u64 = 32;
/// Nanoseconds of an epoch of the simulated device.
pub(super) const EPOCH_NS: u64 = 50_000_000;

/// The world, shared by all who act in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The nodes: the distance of [`FAST`] and [`FAR`] from the slow one.
pub(super) fn topology(fast_distance: u32, far_distance: u32) -> Topology {
    let node = |node: NodeId, cpus, distances: [(NodeId, u32); 2]| DescribedNode {
        node,
        cpus,
        start: u64::from(node.0) * NODE_FRAMES,
        pages: NODE_FRAMES,
        distances: distances.into(),
    };
    let described = Topology::described(&[
        node(FAST, true, [(SLOW, fast_distance), (FAR, 21)]),
        node(SLOW, false, [(FAST, fast_distance), (FAR, far_distance)]),
        node(FAR, true, [(SLOW, far_distance), (FAST, 21)]),
    ]);
    described.unwrap_or_default()
}

impl Machine for Shared {
    fn topology(&self) -> Result<Topology, MachineError> {
        Ok(topology(20, 30))
    }

    fn headroom(&self) -> Result<Headroom, MachineError> {
        let room = self.world().fast_room().map(|pages| pages * PAGE_BYTES);
        let far = if room.is_some() { 0 } else { 1 << 30 };
        Ok(Headroom::of([(FAST, room.unwrap_or(1 << 30)), (FAR, far)]))
    }

    fn flags(&self, frames: Range<u64>) -> Result<Vec<PageFlags>, MachineError> {
        let world = self.world();
        let flags = |frame| {
            let Some(number) = world.frames.get(&Pfn(frame)) else {
                return PageFlags::BUDDY;
            };
            let folio = &world.pages[*number].folio;
            let listed = PageFlags::LRU | PageFlags::ANON;
            match (folio.len(), folio.first() == Some(number)) {
                (1, _) => listed,
                (_, true) => listed | PageFlags::COMPOUND_HEAD | PageFlags::THP,
                (_, false) => PageFlags::COMPOUND_TAIL | PageFlags::THP,
            }
        };
        Ok(frames.map(flags).collect())
    }

    fn resolve(
        &self,
        process_id: u32,
        start: u64,
        pages: u64,
    ) -> Result<Vec<Option<Pfn>>, MachineError> {
        let world = self.world();
        let frame = |page| {
            let number = world.page_at(process_id, start + page * PAGE_BYTES)?;
            world.pages.get(number)?.frame
        };
        Ok((0..pages).map(frame).collect())
    }

    fn owners(&self, folios: &[Folio]) -> Result<Vec<Option<Owner>>, MachineError> {
        let world = self.world();
        let owner = |folio: &Folio| {
            // As where nothing is ever demoted.
            world.fast_pages?;
            world.owner(*world.frames.get(&folio.head)?)
        };
        Ok(folios.iter().map(owner).collect())
    }

    fn drain_reclaim_batches(&self) -> Result<(), MachineError> {
        Ok(())
    }

    fn identities(&self, folios: &[Folio]) -> Result<Vec<Option<Identity>>, MachineError> {
        Ok(vec![None; folios.len()])
    }

    fn demoted_pages(&self, node: NodeId) -> Result<Option<u64>, MachineError> {
        Ok((node == FAST).then(|| self.world().demoted))
    }
}

/// Moves pages of the simulated machine, and says so.
#[derive(Debug, Clone)]
pub(super) struct HonestActuator(pub(super) Shared);

impl HonestActuator {
    /// Moves one folio.
    pub(super) fn promote(&self, candidate: &Candidate, node: NodeId) -> Fate {
        let mut world = self.0.world();
        let found = world.frames.get(&candidate.folio.head).copied();
        let Some((folio, pages)) = found.and_then(|number| world.folio_of(number)) else {
            return Fate::Gone;
        };
        if folio != candidate.folio {
            return Fate::Gone;
        }
        match world.migrate(&pages, node) {
            true => Fate::Moved { node },
            false => Fate::Pinned,
        }
    }
}

impl Actuator for HonestActuator {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn limits(&self) -> Limits {
        Limits {
            frames_max: 512,
            sees_unmapped: true,
            obeys_cpusets: true,
            is_dry: false,
        }
    }

    fn promote_batch(&mut self, batch: &Batch, _: &StopFlag) -> Result<Vec<Fate>, ActuatorError> {
        let target = batch.route.target;
        let fates = batch
            .candidates
            .iter()
            .map(|candidate| self.promote(candidate, target));
        Ok(fates.collect())
    }
}

/// Pages that were not accessed for so long are idle.
const IDLE_NS: u64 = 100_000_000;

/// Watches the fast node.
#[derive(Debug, Clone)]
pub(super) struct HonestTelemetry(pub(super) Shared);

impl Telemetry for HonestTelemetry {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn frames_max(&self) -> usize {
        500
    }

    fn watch(&mut self, watch: &Watch, _: &StopFlag) -> Result<Watched, TelemetryError> {
        let world = self.0.world();
        let is_used = |frame: &Pfn| {
            let page = world.frames.get(frame).map(|number| &world.pages[*number]);
            page.is_none_or(|page| page.accessed_ns + IDLE_NS > world.now_ns)
        };
        Ok(Watched {
            accessed: watch.frames.iter().map(is_used).collect(),
            idle_ns: IDLE_NS,
            until_ns: world.now_ns,
        })
    }
}

/// Counts accesses by frame in epochs, as a CHMU does, and reports those from a threshold on.
#[derive(Debug)]
pub(super) struct CountingSource {
    shared: Shared,
    facts: Facts,
    read_ns: u64,
}

impl CountingSource {
    pub(super) fn new(shared: Shared) -> CountingSource {
        let facts = Facts {
            name: "simulated".into(),
            kind: SourceKind::Stream,
            unit_bytes: Some(PAGE_BYTES),
            granted_epoch_ns: Some(EPOCH_NS),
            wished_epoch_ns: None,
            knows: Knowledge {
                frames: true,
                ..Knowledge::default()
            },
            counts: WeightKind::Accesses,
        };
        CountingSource {
            shared,
            facts,
            read_ns: 0,
        }
    }
}

/// A frame that was hot.
pub(super) fn extent(frame: Pfn, count: u64) -> HotExtent {
    HotExtent {
        place: Place::Frames {
            start: frame,
            pages: 1,
        },
        weight: Weight::accesses(count),
        sharing_pages: 1,
        unit: None,
    }
}

impl HotnessSource for CountingSource {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _: u64, _: &StopFlag) -> Result<Report, SourceError> {
        let mut world = self.shared.world();
        let counts = std::mem::take(&mut world.counts);
        let hot = counts
            .into_iter()
            .filter(|(frame, count)| node_of(*frame) == SLOW && *count >= THRESHOLD);
        let earliest_access_ns = std::mem::replace(&mut self.read_ns, world.now_ns);
        Ok(Report {
            handed_out_ns: world.now_ns,
            earliest_access_ns,
            extents: hot.map(|(frame, count)| extent(frame, count)).collect(),
            accessor: None,
            lost: Lost::default(),
        })
    }
}
