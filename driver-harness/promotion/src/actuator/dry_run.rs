// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The actuator that moves nothing.

use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use super::{Actuator, ActuatorError, BatchOutcome};

/// Logs each batch instead of moving it.
#[derive(Debug, Clone, Copy, Default)]
pub struct DryRun;

impl Actuator for DryRun {
    fn name(&self) -> &'static str {
        "dry-run"
    }

    fn batch_frames_max(&self) -> usize {
        usize::MAX
    }

    fn promote_batch(
        &mut self,
        frames: &[Pfn],
        target: NodeId,
    ) -> Result<BatchOutcome, ActuatorError> {
        log::info!("Would move {} frames to node {target}", frames.len());
        Ok(BatchOutcome::default())
    }

    fn is_dry(&self) -> bool {
        true
    }
}
