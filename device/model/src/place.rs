// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where an instance lies in its block.

/// Where an instance lies in its block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The instance's number in its block, from 0.
    pub(crate) number: u8,
    /// Its first byte, from the start of the block.
    pub(crate) start: u64,
    /// The first byte of its range bitmap, from its own start.
    pub(crate) range_bitmap: u64,
    /// The first byte of its hotlist, from the start of the block.
    pub(crate) hotlist: u64,
}
