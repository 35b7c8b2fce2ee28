// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The capability registers and offsets, as they read.

use chmu_spec::chmu::{Capabilities0, Capabilities1};

use crate::behaviour::{CapabilityBehaviour, Chain};
use crate::capabilities::Capabilities;
use crate::place::Place;

/// The capability registers and offsets, as they read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Advertised {
    pub(super) capabilities_0: u64,
    pub(super) capabilities_1: u64,
    pub(super) range_bitmap: u64,
    pub(super) hotlist: u64,
}

impl Advertised {
    pub(super) fn new(
        capabilities: &Capabilities,
        place: Place,
        behaviour: &CapabilityBehaviour,
    ) -> Self {
        let register_0 = Capabilities0::from_bits(capabilities.register_0());
        let register_1 = Capabilities1::from_bits(capabilities.register_1());
        Self {
            capabilities_0: changed(register_0, &behaviour.register_0).into_bits(),
            capabilities_1: changed(register_1, &behaviour.register_1).into_bits(),
            range_bitmap: (behaviour.range_bitmap)(place),
            hotlist: (behaviour.hotlist)(place),
        }
    }
}

fn changed<T>(register: T, changes: &Chain<fn(T) -> T>) -> T {
    changes
        .iter()
        .fold(register, |register, change| change(register))
}
