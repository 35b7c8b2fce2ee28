// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The tables of MSI-X in BAR4, behind the blocks.

use std::ops::Range;

use chmu_spec::pci::MSIX_ENTRY_BYTES;
use chmu_spec::register::WriteRules;

use crate::register_space::RegisterSpace;

/// What the tables share with nothing else.
const PAGE_BYTES: u64 = 0x1000;

/// Where the tables of MSI-X lie, from the start of the BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MsixPlace {
    pub(crate) table: u64,
    pub(crate) pending: u64,
}

/// The tables of MSI-X. Clients of VFIO keep the real ones; these hold what a raw client writes
/// and hold no interrupt back.
#[derive(Debug)]
pub(crate) struct MsixTables {
    table: Range<u64>,
    pending: u64,
    space: RegisterSpace,
}

impl MsixTables {
    /// Tables on pages of their own from `end` on.
    pub(crate) fn new(end: u64, vectors: u16) -> Self {
        let start = end.next_multiple_of(PAGE_BYTES);
        let bytes = u64::from(vectors).saturating_mul(MSIX_ENTRY_BYTES);
        let mut space = RegisterSpace::new(bytes);
        // Message address and data, then the vector control with its mask bit.
        let entry = [(0, 8, 0, !0x3), (8, 4, 0, u64::MAX), (12, 4, 1, 1)];
        for vector in 0..u64::from(vectors) {
            let base = vector.saturating_mul(MSIX_ENTRY_BYTES);
            for (offset, bytes, value, writable) in entry {
                let rules = WriteRules {
                    writable,
                    clearable: 0,
                };
                space.define(base.saturating_add(offset), bytes, value, rules);
            }
        }
        let table = start..start.saturating_add(bytes);
        Self {
            pending: table.end.next_multiple_of(PAGE_BYTES),
            table,
            space,
        }
    }

    /// Where the BAR goes on behind them.
    pub(crate) fn end(&self) -> u64 {
        self.pending.saturating_add(PAGE_BYTES)
    }

    /// Where table and pending bits lie.
    pub(crate) fn place(&self) -> MsixPlace {
        MsixPlace {
            table: self.table.start,
            pending: self.pending,
        }
    }

    /// The vector table, from the start of the BAR.
    pub(crate) fn table(&self) -> &Range<u64> {
        &self.table
    }

    /// Reads inside the vector table, from an offset of the BAR on.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) {
        let inside = offset.saturating_sub(self.table.start);
        self.space.read(inside, data);
    }

    /// Writes inside the vector table.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let inside = offset.saturating_sub(self.table.start);
        self.space.write(inside, data);
    }

    /// Goes back to the state after power-on: everything masked.
    pub(crate) fn reset(&mut self) {
        self.space.reset(0..0);
    }
}
