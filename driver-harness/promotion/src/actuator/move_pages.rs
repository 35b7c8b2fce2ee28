// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages moved by `move_pages(2)`: those of processes, and only while their owner is known.

use std::collections::BTreeMap;

use chmu_machine::memory::numa::{self, Placement, Sharing};
use chmu_machine::stop::StopFlag;
use chmu_spec::address::Pfn;

use super::{Actuator, ActuatorError, Limits, Owners};
use crate::batch::{Batch, Fate};

/// Each call makes every processor hand over its pages: worth it for many pages only.
const BATCH_FRAMES: usize = 4096;

/// Looks the owners up, then moves their pages.
#[derive(Debug)]
pub struct MovePages {
    owners: Owners,
}

impl MovePages {
    /// Moves pages of these owners.
    pub fn new(owners: Owners) -> MovePages {
        MovePages { owners }
    }
}

impl Actuator for MovePages {
    fn name(&self) -> &'static str {
        "move-pages"
    }

    fn limits(&self) -> Limits {
        Limits {
            frames_max: BATCH_FRAMES,
            sees_unmapped: false,
            obeys_cpusets: true,
            is_dry: false,
        }
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        _stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        let heads = batch.heads();
        let mut pages: BTreeMap<u32, Vec<(Pfn, u64)>> = BTreeMap::new();
        for (frame, page) in self.owners.find(&heads)? {
            let of_owner = pages.entry(page.process_id).or_default();
            of_owner.push((frame, page.address));
        }
        let mut fates = BTreeMap::new();
        let target = batch.route.target;
        for (process_id, pages) in pages {
            let addresses: Vec<_> = pages.iter().map(|(_, address)| *address).collect();
            let places = numa::move_pages(process_id, &addresses, target, Sharing::Shared)
                .map_err(|source| ActuatorError::MovePages {
                    process_id,
                    target,
                    source,
                })?;
            let frames = pages.iter().map(|(frame, _)| *frame);
            fates.extend(frames.zip(places.into_iter().map(fate_of)));
        }
        let fate = |head: &Pfn| fates.get(head).copied().unwrap_or(Fate::Unmapped);
        Ok(heads.iter().map(fate).collect())
    }

    fn another(&self) -> Option<Box<dyn Actuator>> {
        Some(Box::new(MovePages::new(self.owners.clone())))
    }
}

fn fate_of(place: Placement) -> Fate {
    match place {
        Placement::Node(node) => Fate::Moved { node },
        Placement::Not(libc::EBUSY) => Fate::Busy,
        Placement::Not(libc::ENOENT) => Fate::Gone,
        Placement::Not(libc::ENOMEM) => Fate::TargetFull,
        Placement::Not(errno) => Fate::Refused { errno },
    }
}
