// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages moved by `move_pages(2)`: those of processes, and only while their owner is known.

use std::collections::BTreeMap;

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::memory::numa::{self, Placement, Sharing};
use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use super::{Actuator, ActuatorError, BatchOutcome, Owners};

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

    fn batch_frames_max(&self) -> usize {
        BATCH_FRAMES
    }

    fn promote_batch(
        &mut self,
        frames: &[Pfn],
        target: NodeId,
    ) -> Result<BatchOutcome, ActuatorError> {
        let mut addresses: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for page in self.owners.find(frames)?.into_values() {
            addresses
                .entry(page.process_id)
                .or_default()
                .push(page.address);
        }
        let mut moved_bytes = 0;
        for (process_id, addresses) in addresses {
            let places = numa::move_pages(process_id, &addresses, target, Sharing::Shared)
                .map_err(|source| ActuatorError::MovePages {
                    process_id,
                    target,
                    source,
                })?;
            let arrived = places
                .iter()
                .filter(|&&place| place == Placement::Node(target));
            moved_bytes += arrived.count() as u64 * PAGE_BYTES;
        }
        Ok(BatchOutcome { moved_bytes })
    }
}
