// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the function around the blocks does at the steps where devices are known to go wrong, and
//! what each quirk makes of it. Nothing else here knows quirks.

use chmu_model::{Quirk, QuirkSet};
use chmu_spec::cxl::dvsec::{self, REGISTER_BLOCK_ALIGNMENT_BYTES, RegisterLocatorEntry, block_id};

use crate::bar;

/// What the function does, made once when the function is. The default is the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    /// Identifier of the Register Locator.
    pub(crate) locator_id: u16,
    /// The entry of a block, made of what it should be.
    pub(crate) block_entry: fn(RegisterLocatorEntry) -> RegisterLocatorEntry,
    /// How often the last entry is listed.
    pub(crate) last_entries: usize,
    /// A function-level reset reaches the blocks.
    pub(crate) reset_reaches_blocks: bool,
    pub(crate) reset_loses_decoders: bool,
    pub(crate) reset_loses_mem_enable: bool,
    /// Host physical addresses are translated by the decoders.
    pub(crate) decodes: bool,
    /// The vector of a message number.
    pub(crate) vector: fn(u8) -> u16,
    /// Which block answers for the registers of a block.
    pub(crate) answering_block: fn(usize) -> usize,
    /// Accesses reach all blocks that count, not just the first.
    pub(crate) all_blocks_count: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            locator_id: dvsec::REGISTER_LOCATOR,
            block_entry: |entry| entry,
            last_entries: 1,
            reset_reaches_blocks: true,
            reset_loses_decoders: false,
            reset_loses_mem_enable: false,
            decodes: true,
            vector: u16::from,
            answering_block: |index| index,
            all_blocks_count: true,
        }
    }
}

impl Behaviour {
    /// The behaviour of a function that breaks these rules and keeps all others. Quirks of blocks change nothing.
    pub(crate) fn new(quirks: QuirkSet) -> Self {
        let mut behaviour = Self::default();
        for quirk in quirks.iter() {
            behaviour.break_rule(quirk);
        }
        behaviour
    }

    fn break_rule(&mut self, quirk: Quirk) {
        match quirk {
            Quirk::LocatorMissing => self.locator_id = dvsec::GPF_DEVICE,
            Quirk::LocatorOldBlockId => {
                self.block_entry = |entry| RegisterLocatorEntry {
                    block_id: block_id::PERFORMANCE_MONITOR,
                    ..entry
                };
            }
            Quirk::LocatorUpperBar => {
                self.block_entry = |entry| RegisterLocatorEntry {
                    bar: bar::MONITORS.saturating_add(1),
                    ..entry
                };
            }
            Quirk::LocatorOffsetTooHigh => {
                self.block_entry = |entry| RegisterLocatorEntry {
                    offset: entry.offset.saturating_add(REGISTER_BLOCK_ALIGNMENT_BYTES),
                    ..entry
                };
            }
            Quirk::LocatorEntryTwice => self.last_entries = 2,
            Quirk::FunctionResetIgnored => self.reset_reaches_blocks = false,
            Quirk::FunctionResetLosesDecoders => self.reset_loses_decoders = true,
            Quirk::FunctionResetLosesMemEnable => self.reset_loses_mem_enable = true,
            Quirk::DecodersIgnored => self.decodes = false,
            Quirk::VectorsShared => self.vector = |_| 0,
            Quirk::BlocksMirrored => self.answering_block = |_| 0,
            Quirk::BlocksShareAccesses => self.all_blocks_count = false,
            _ => {}
        }
    }
}
