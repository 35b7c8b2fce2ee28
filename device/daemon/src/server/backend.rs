// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the server needs of the device behind it.

use std::fmt::Display;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use vmm_sys_util::eventfd::EventFd;

use super::protocol::Command;

/// One region as the client sees it; a region of size 0 does not exist.
#[derive(Debug, Clone, Default)]
pub(crate) struct Region {
    pub(crate) size_bytes: u64,
    /// Page-aligned parts of [`Region::file`] that the client may map instead of sending messages.
    pub(crate) mappable_areas: Vec<Range<u64>>,
    /// Memory of the region, laid out like the region itself; needed by the mappable areas.
    pub(crate) file: Option<Arc<File>>,
}

/// Vectors of each kind of interrupt; a device has at most one of the kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Interrupts {
    /// Vectors of MSI, 0 without it.
    pub(crate) msi: u16,
    /// Vectors of MSI-X, 0 without it.
    pub(crate) msi_x: u16,
}

/// The device refuses an access inside one of its regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccessRefused;

/// A device that is served to one client at a time.
pub(crate) trait Backend {
    /// The regions by index: BARs 0 to 5, ROM, configuration space, VGA.
    fn regions(&self) -> &[Region];

    /// The interrupts that the client may connect.
    fn interrupts(&self) -> Interrupts;

    /// Reads from a region; the range was checked against the region's size.
    ///
    /// # Errors
    /// When the device knows of no such access; the client is told `EINVAL`.
    fn read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), AccessRefused>;

    /// Writes to a region; the range was checked against the region's size.
    ///
    /// # Errors
    /// When the device knows of no such access; the client is told `EINVAL`.
    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), AccessRefused>;

    /// The client resets the device.
    fn reset(&mut self);

    /// Connects a vector with an eventfd, or with nothing. `vector` is one of
    /// [`Backend::interrupts`].
    fn connect_vector(&mut self, vector: u16, event: Option<EventFd>);

    /// Raises a vector on the client's demand. `vector` is one of [`Backend::interrupts`].
    fn trigger_vector(&mut self, vector: u16);

    /// One message was handled; `refusal` says why it was answered with an error, if it was.
    fn message_handled(&mut self, command: Command, refusal: Option<&dyn Display>);

    /// A client is connected, `peer` in the log; it has not said its version yet.
    fn client_arrived(&mut self, peer: &dyn Display);

    /// The client is gone: its eventfds mean nothing any more. The device keeps its state.
    fn client_left(&mut self);
}
