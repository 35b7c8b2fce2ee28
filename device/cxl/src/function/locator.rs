// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The entries of the Register Locator.

use chmu_spec::cxl::dvsec::{RegisterLocatorEntry, block_id};

use crate::bar;
use crate::behaviour::Behaviour;
use crate::monitors::Monitors;

/// The entries in their two dwords: component registers, memory device registers, then the blocks.
pub(super) fn entries(monitors: &Monitors, behaviour: Behaviour) -> Vec<u64> {
    let fixed = [
        (block_id::COMPONENT, bar::COMPONENT),
        (block_id::MEMORY_DEVICE, bar::DEVICE),
    ]
    .map(|(block_id, bar)| RegisterLocatorEntry {
        block_id,
        bar,
        offset: 0,
    });
    let units = monitors.block_offsets().map(|offset| RegisterLocatorEntry {
        block_id: block_id::HOTNESS_MONITOR,
        bar: bar::MONITORS,
        offset,
    });
    let mut entries: Vec<_> = fixed.into_iter().collect();
    entries.extend(units.map(behaviour.block_entry));
    if let Some(last) = entries.pop() {
        entries.extend(std::iter::repeat_n(last, behaviour.last_entries));
    }
    entries
        .into_iter()
        .map(RegisterLocatorEntry::to_bits)
        .collect()
}
