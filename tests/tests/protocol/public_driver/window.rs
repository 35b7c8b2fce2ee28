// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a driver mapped of a block. A kernel that leaves its mapping oopses: here that is an error.

use std::ops::Range;

use anyhow::{Result, ensure};

use super::machine::Machine;

/// A mapping, from the start of a block on.
#[derive(Debug, Clone)]
pub(super) struct Window {
    bar: u32,
    start: u64,
    bytes: u64,
    /// Where the driver stored, in order.
    pub(super) stores: Vec<Range<u64>>,
}

impl Window {
    /// Maps `bytes` of the block at `start`.
    pub(super) fn map((bar, start): (u32, u64), bytes: u64) -> Self {
        Self {
            bar,
            start,
            bytes,
            stores: Vec::new(),
        }
    }

    pub(super) fn load(&self, machine: &mut Machine, offset: u64, width: usize) -> Result<u64> {
        self.check("load", offset, width)?;
        machine.load(self.bar, self.start + offset, width)
    }

    pub(super) fn store(
        &mut self,
        machine: &mut Machine,
        offset: u64,
        width: usize,
        value: u64,
    ) -> Result<()> {
        self.check("store", offset, width)?;
        self.stores.push(offset..offset + width as u64);
        machine.store(self.bar, self.start + offset, width, value)
    }

    fn check(&self, action: &str, offset: u64, width: usize) -> Result<()> {
        let end = offset.saturating_add(width as u64);
        ensure!(
            end <= self.bytes,
            "the driver's {action} of {width} bytes at {offset:#x} leaves its mapping of {:#x}",
            self.bytes
        );
        Ok(())
    }
}
