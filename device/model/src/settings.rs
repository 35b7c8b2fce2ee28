// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the configuration registers ask for.

use chmu_spec::epoch::EpochLength;
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

/// A configuration that an instance can run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) filter: RequestFilter,
    pub(crate) unit_size: UnitSize,
    pub(crate) counter_width: u8,
    pub(crate) threshold: u32,
    /// Length of an epoch; none in always-on mode.
    pub(crate) epoch: Option<EpochLength>,
    pub(crate) down_sampling_log2: u8,
    pub(crate) randomise: bool,
}
