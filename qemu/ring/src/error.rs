// SPDX-License-Identifier: BSD-3-Clause
//! What can go wrong when a feed is made, handed over, or attached to.

use std::io;

use crate::limits::{ENTRIES_RANGE, MAX_RINGS, MAX_WINDOWS, VERSION};
use crate::window::Window;

/// Why a feed could not be created, handed over, or attached to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The number of rings is zero or too large.
    #[error("A feed has between 1 and {MAX_RINGS} rings, not {0}")]
    RingCount(u32),
    /// The number of entries is not a supported power of two.
    #[error(
        "A ring has a power of two between {min} and {max} entries, not {0}",
        min = ENTRIES_RANGE.start(),
        max = ENTRIES_RANGE.end()
    )]
    EntryCount(u32),
    /// There is no window, or there are too many.
    #[error("A feed has between 1 and {MAX_WINDOWS} windows, not {0}")]
    WindowCount(usize),
    /// A window is empty, not aligned to 4 KiB, or passes the end of the address space.
    #[error("The window ({0}) is empty, not aligned to 4 KiB, or ends past 2^64")]
    Window(Window),
    /// The memory file could not be made or mapped.
    #[error("The shared memory of the access rings could not be set up")]
    Memory(#[source] io::Error),
    /// Another producer is still attached.
    #[error("Another producer is attached to this feed")]
    ProducerAttached,
    /// The message with the memory file could not be sent.
    #[error("The access rings could not be handed over")]
    HandOver(#[source] io::Error),
    /// No process listens on the access socket.
    #[error("The access socket could not be reached")]
    Connect(#[source] io::Error),
    /// The message with the memory file did not arrive.
    #[error("The access rings were not handed over by the device")]
    Receive(#[source] io::Error),
    /// The device closed the connection instead of handing over its feed.
    #[error("The device refused the connection; it serves one producer at a time")]
    Refused,
    /// What listens on the socket is not a device of this version.
    #[error("The access socket does not speak version {VERSION} of the ring protocol")]
    Protocol,
    /// The shared memory is not sealed, or its header contradicts its size.
    #[error("The shared memory handed over by the device is damaged: {0}")]
    Header(&'static str),
    /// The feed has no ring of that index.
    #[error("Ring {index} does not exist: the device offers {ring_count} rings, one per vCPU")]
    NoSuchRing {
        /// The ring asked for.
        index: u32,
        /// Rings in the feed.
        ring_count: u32,
    },
    /// The ring was taken before; it has one writer.
    #[error("Ring {0} already has a writer")]
    RingTaken(u32),
}
