// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The entries of the Register Locator, and what quirks make of them.

use chmu_model::Quirk;
use chmu_spec::cxl::dvsec::{REGISTER_BLOCK_ALIGNMENT_BYTES, RegisterLocatorEntry, block_id};

use crate::bar;
use crate::monitors::Monitors;

/// The entries in their two dwords: component registers, memory device registers, then the blocks.
pub(super) fn entries(monitors: &Monitors, quirk: Option<Quirk>) -> Vec<u64> {
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
    entries.extend(units.map(|entry| misplaced(entry, quirk)));
    if quirk == Some(Quirk::LocatorEntryTwice) {
        entries.extend(entries.last().copied());
    }
    entries
        .into_iter()
        .map(RegisterLocatorEntry::to_bits)
        .collect()
}

fn misplaced(entry: RegisterLocatorEntry, quirk: Option<Quirk>) -> RegisterLocatorEntry {
    match quirk {
        Some(Quirk::LocatorOldBlockId) => RegisterLocatorEntry {
            block_id: block_id::PERFORMANCE_MONITOR,
            ..entry
        },
        Some(Quirk::LocatorUpperBar) => RegisterLocatorEntry {
            bar: bar::MONITORS.saturating_add(1),
            ..entry
        },
        Some(Quirk::LocatorOffsetTooHigh) => RegisterLocatorEntry {
            offset: entry.offset.saturating_add(REGISTER_BLOCK_ALIGNMENT_BYTES),
            ..entry
        },
        _ => entry,
    }
}
