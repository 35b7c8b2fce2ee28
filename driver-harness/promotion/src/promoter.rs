// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From hot memory to promoted pages.
//!
//! Whoever finds hot memory offers its frames; one worker takes the hottest as fast as the rate
//! allows, looks at each just before it moves, computes its target from the node it is on, and hands
//! pages of the same source and target to the actuator in batches. A frame number is a hint: the page
//! that was hot there may have gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::memory::page_flags::PageFlagsError;
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;
use chmu_machine::sysfs_file::SysfsError;
use chmu_machine::targets::{Chooser, NoTarget, Request, promotion_target};
use chmu_machine::topology::Topology;
use chmu_machine::watermarks::Headroom;
use chmu_spec::address::Pfn;

use crate::actuator::{Actuator, ActuatorError};
use crate::batch::{Batch, Candidate, Fate, Folio, Route};
use crate::folio;
use crate::machine::Machine;
use crate::outcome::Outcome;
use crate::queue::{Queue, Waiting};
use crate::rate::RateLimit;
use crate::rejection::Rejection;
use crate::report::{HotExtent, Place};

/// Where pages are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Destination {
    /// To this node: the caller knows who uses the pages.
    Node(NodeId),
    /// To a node computed for each page from the node that it is on.
    #[default]
    Deferred,
}

/// What may be promoted, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Where pages are to go.
    pub destination: Destination,
    /// Units reported with a lower count are not promoted.
    pub minimum_count: u64,
    /// At most so many pages per second.
    pub pages_per_second: Option<u64>,
    /// At most so many frames in one batch; the actuator may want fewer.
    pub batch_frames: Option<usize>,
    /// After a page moved, reports about its old frame are of no use for so long.
    pub settle_ns: u64,
}

/// A step that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PromotionError {
    /// The topology cannot be read.
    #[error(transparent)]
    Topology(#[from] SysfsError),
    /// Frames cannot be looked at.
    #[error(transparent)]
    PageFlags(#[from] PageFlagsError),
    /// The reclaim lists cannot be brought up to date.
    #[error("Cannot bring the reclaim lists up to date")]
    Drain(#[source] io::Error),
    /// The actuator failed.
    #[error("Cannot promote pages from node {source_node} to node {target}")]
    Actuator {
        /// Where the pages are.
        source_node: NodeId,
        /// Where they should go.
        target: NodeId,
        /// What failed.
        source: ActuatorError,
    },
}

/// The worker that promotes.
#[derive(Debug)]
pub struct Promoter {
    machine: Box<dyn Machine>,
    actuator: Box<dyn Actuator>,
    policy: Policy,
    rate: RateLimit,
    queue: Queue,
    chooser: Chooser,
    /// Old frames of pages moved a moment ago, and when.
    moved: BTreeMap<Pfn, u64>,
    /// Counted since the last step.
    refused: Outcome,
    batches: u64,
}

/// A folio with what waits for it.
#[derive(Debug, Clone, Copy)]
struct Found {
    folio: Folio,
    waiting: Waiting,
}

impl Promoter {
    /// A worker without work.
    pub fn new(machine: Box<dyn Machine>, actuator: Box<dyn Actuator>, policy: Policy) -> Promoter {
        Promoter {
            machine,
            actuator,
            policy,
            rate: RateLimit::new(policy.pages_per_second),
            queue: Queue::default(),
            chooser: Chooser::default(),
            moved: BTreeMap::new(),
            refused: Outcome::default(),
            batches: 0,
        }
    }

    /// Adds the pages of extents to those that wait.
    pub fn offer(&mut self, extents: &[HotExtent], now_ns: u64) {
        for extent in extents {
            let Place::Frames { start, pages } = extent.place else {
                continue;
            };
            for page in 0..pages {
                let frame = Pfn(start.0.saturating_add(page));
                self.offer_frame(frame, extent.weight.value, now_ns);
            }
        }
    }

    /// Adds one page to those that wait.
    pub fn offer_frame(&mut self, frame: Pfn, count: u64, now_ns: u64) {
        let moved = self.moved.get(&frame);
        let is_recent =
            moved.is_some_and(|moved| now_ns.saturating_sub(*moved) < self.policy.settle_ns);
        let waiting = Waiting {
            frame,
            count,
            tried: false,
        };
        if count < self.policy.minimum_count {
            self.refused.reject(Rejection::BelowMinimumHeat);
        } else if is_recent {
            self.refused.reject(Rejection::RecentlyMoved);
        } else if !self.queue.add(waiting) {
            self.refused.reject(Rejection::QueueFull);
        }
    }

    /// How many frames wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The actuator's name.
    pub fn actuator(&self) -> &'static str {
        self.actuator.name()
    }

    /// Promotes the hottest of the waiting pages: as many as the rate allows now and one batch may
    /// have, so that the source is asked again before the next.
    pub fn step(&mut self, now_ns: u64, stop: &StopFlag) -> Result<Outcome, PromotionError> {
        let mut outcome = std::mem::take(&mut self.refused);
        let settle_ns = self.policy.settle_ns;
        self.moved
            .retain(|_, moved| now_ns.saturating_sub(*moved) < settle_ns);
        let most = self.policy.batch_frames.unwrap_or(usize::MAX).max(1);
        let most = most.min(self.actuator.limits().frames_max);
        let allowed = usize::try_from(self.rate.allowed(now_ns)).unwrap_or(usize::MAX);
        let taken = self.queue.take(most.min(allowed));
        if taken.is_empty() {
            return Ok(outcome);
        }
        let topology = self.machine.topology()?;
        let headroom = self.machine.headroom()?;
        let candidates = self.look_at(&taken, &mut outcome)?;
        let router = Router {
            destination: self.policy.destination,
            topology,
            headroom,
            chooser: &mut self.chooser,
        };
        let groups = router.group(candidates, &mut outcome);
        for (route, candidates) in groups {
            for waiting in self.promote(route, &candidates, now_ns, stop, &mut outcome)? {
                self.queue.add(waiting);
            }
        }
        Ok(outcome)
    }

    /// The folios of the frames, each once; frames that cannot move are counted.
    fn look_at(
        &self,
        slice: &[Waiting],
        outcome: &mut Outcome,
    ) -> Result<Vec<Found>, PromotionError> {
        let look = |waiting: &Waiting| folio::of_frame(&*self.machine, waiting.frame);
        let mut looks = slice.iter().map(look).collect::<Result<Vec<_>, _>>()?;
        if looks.contains(&Err(Rejection::NotLru)) {
            // Pages used for the first time wait in a list of their processor before they are found.
            self.machine
                .drain_reclaim_batches()
                .map_err(PromotionError::Drain)?;
            looks = slice.iter().map(look).collect::<Result<Vec<_>, _>>()?;
        }
        let mut heads = BTreeSet::new();
        let mut candidates = Vec::new();
        for (&waiting, look) in slice.iter().zip(looks) {
            match look {
                Ok(folio) if heads.insert(folio.head) => {
                    candidates.push(Found { folio, waiting });
                }
                // Another frame of a folio that is a candidate already.
                Ok(_) => {}
                Err(rejection) => outcome.reject(rejection),
            }
        }
        Ok(candidates)
    }

    /// Hands one batch to the actuator; returns what stayed and is worth another attempt.
    fn promote(
        &mut self,
        route: Route,
        candidates: &[Found],
        now_ns: u64,
        stop: &StopFlag,
        outcome: &mut Outcome,
    ) -> Result<Vec<Waiting>, PromotionError> {
        self.batches += 1;
        let candidate = |found: &Found| Candidate {
            folio: found.folio,
            owner: None,
        };
        let batch = Batch {
            number: self.batches,
            route,
            candidates: candidates.iter().map(candidate).collect(),
        };
        let fates = self.actuator.promote_batch(&batch, stop);
        let fates = fates.map_err(|source| PromotionError::Actuator {
            source_node: route.source,
            target: route.target,
            source,
        })?;
        outcome.batches += 1;
        outcome.pages_selected += batch.pages();
        let mut again = Vec::new();
        for (candidate, fate) in candidates.iter().zip(fates) {
            match fate {
                Fate::Moved { .. } => {
                    self.moved.insert(candidate.folio.head, now_ns);
                    *outcome.pages_promoted.entry(route).or_default() += candidate.folio.pages;
                    self.rate.charge(candidate.folio.pages);
                }
                Fate::Busy | Fate::Stayed if !candidate.waiting.tried => again.push(Waiting {
                    tried: true,
                    ..candidate.waiting
                }),
                fate => Rejection::of_fate(fate)
                    .into_iter()
                    .for_each(|reason| outcome.reject(reason)),
            }
        }
        Ok(again)
    }
}

/// Finds targets for pages that are about to move.
struct Router<'a> {
    destination: Destination,
    topology: Topology,
    /// Shrinks by what is on its way.
    headroom: Headroom,
    chooser: &'a mut Chooser,
}

impl Router<'_> {
    /// Candidates by where they are and where they go; those that go nowhere are counted.
    fn group(
        mut self,
        candidates: Vec<Found>,
        outcome: &mut Outcome,
    ) -> BTreeMap<Route, Vec<Found>> {
        let mut groups: BTreeMap<Route, Vec<Found>> = BTreeMap::new();
        for candidate in candidates {
            let bytes = candidate.folio.pages * PAGE_BYTES;
            match self.route(candidate.folio.head, bytes) {
                Ok(route) => {
                    self.headroom.take(route.target, bytes);
                    groups.entry(route).or_default().push(candidate);
                }
                Err(rejection) => outcome.reject(rejection),
            }
        }
        groups
    }

    fn route(&mut self, frame: Pfn, bytes: u64) -> Result<Route, Rejection> {
        let source = self.topology.node_of(frame).ok_or(Rejection::UnknownNode)?;
        let target = match self.destination {
            Destination::Node(target) if target == source => return Err(Rejection::AlreadyThere),
            Destination::Node(target) => {
                let has_room = self.headroom.has_room(target, bytes);
                has_room.then_some(target).ok_or(Rejection::TargetFull)?
            }
            Destination::Deferred => self.deferred_target(source, bytes)?,
        };
        Ok(Route { source, target })
    }

    fn deferred_target(&mut self, source: NodeId, bytes: u64) -> Result<NodeId, Rejection> {
        let request = Request {
            source,
            accessor: None,
            bytes,
        };
        let decision = promotion_target(&request, &self.topology, &self.headroom, self.chooser);
        match decision {
            Ok(decision) => Ok(decision.target),
            Err(NoTarget::TopTier(_)) => Err(Rejection::TopTier),
            Err(NoTarget::Full { .. }) => Err(Rejection::TargetFull),
            Err(_) => Err(Rejection::NoTarget),
        }
    }
}
