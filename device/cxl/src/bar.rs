// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Base address registers and what lies behind them.

use std::ops::Range;

/// Number of the BAR with component registers.
pub(crate) const COMPONENT: u8 = 0;
/// Number of the BAR with memory device registers.
pub(crate) const DEVICE: u8 = 2;
/// Number of the BAR with hotness monitoring units and interrupt tables.
pub(crate) const MONITORS: u8 = 4;

/// The memory behind a base address register; one of size 0 does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bar {
    /// Bytes: 0 or a power of two from 4096 on.
    pub size_bytes: u64,
    /// Whole pages of 4096 bytes that may be mapped instead of being read through
    /// [`Function::read`](crate::Function::read): their content is what
    /// [`FunctionHost::store`](crate::FunctionHost::store) stored. Sorted.
    pub mappable_areas: Vec<Range<u64>>,
}
