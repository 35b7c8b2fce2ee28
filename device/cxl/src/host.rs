// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a function needs of the outside.

use crate::event::FunctionEvent;

/// The outside of a function.
pub trait FunctionHost {
    /// Stores 8 bytes of BAR memory, at a multiple of 8 inside a mappable area. The driver must
    /// see them no later than anything that happens after this call.
    fn store(&mut self, bar: u8, offset: u64, value: u64);

    /// The 8 bytes of BAR memory at a multiple of 8 inside a mappable area; 0 where nothing was
    /// stored. Asked only when a client reads what it could map.
    fn load(&mut self, bar: u8, offset: u64) -> u64;

    /// Sends the MSI or MSI-X message with a number below the configured number of vectors.
    fn interrupt(&mut self, vector: u16);

    /// Something happened that a log or a statistic may want.
    fn event(&mut self, event: FunctionEvent);
}
