// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a block needs of the outside.

use crate::event::Event;

/// The outside of a block.
pub trait Host {
    /// Stores a hotlist entry, `offset` bytes from the start of the block. The driver must see
    /// it no later than anything that happens after this call.
    fn store_entry(&mut self, offset: u64, entry: u64);

    /// Sends the MSI or MSI-X message with a number.
    fn interrupt(&mut self, message_number: u8);

    /// Something happened that a log or a statistic may want.
    fn event(&mut self, event: Event);
}
