// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the blocks of a function are.

use chmu_spec::cxl::dvsec::block_id;

use super::DeviceError;
use super::locator::{self, Identity};
use crate::transport::{BarOffset, Transport};

/// What the configuration space tells of a function.
pub fn identify(transport: &dyn Transport) -> Result<Identity, DeviceError> {
    locator::identify(transport)
}

/// The places of a function's blocks of hotness monitoring units; an error when it has none.
pub fn block_places(transport: &dyn Transport) -> Result<Vec<BarOffset>, DeviceError> {
    let places = identify(transport)?.places(block_id::HOTNESS_MONITOR);
    if places.is_empty() {
        return Err(DeviceError::NoBlock {
            device: transport.device().to_owned(),
        });
    }
    Ok(places)
}
