// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The actuator that moves nothing.

use chmu_machine::stop::StopFlag;

use super::{Actuator, ActuatorError, Limits};
use crate::batch::{Batch, Fate};

/// Logs each batch instead of moving it.
#[derive(Debug, Clone, Copy, Default)]
pub struct DryRun;

impl DryRun {
    /// Its name, by which a ledger tells that nothing moved.
    pub const NAME: &str = "dry-run";
}

impl Actuator for DryRun {
    fn name(&self) -> &'static str {
        DryRun::NAME
    }

    fn limits(&self) -> Limits {
        Limits {
            frames_max: usize::MAX,
            sees_unmapped: true,
            obeys_cpusets: true,
            is_dry: true,
        }
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        _stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        log::info!(
            "Would move {} pages to node {}",
            batch.pages(),
            batch.route.target
        );
        Ok(vec![Fate::WouldMove; batch.candidates.len()])
    }
}
