// SPDX-License-Identifier: GPL-2.0-or-later
//! The caches that stand between a vCPU and memory: most accesses end here, unreported.
//!
//! They are physically tagged, set-associative, write-back, write-allocate caches of 64-byte lines:
//! one for each vCPU, and one behind those that all share, if there is to be one. Asking QEMU for a
//! physical address costs several times as much as everything else, so [`Shortcuts`] remember
//! which virtual line is which cached line, and answer most accesses alone. They know only lines
//! that count as accessed lately, so that their answers owe the caches nothing.

mod private;
mod shared;
mod shortcuts;

use std::sync::Arc;

use chmu_ring::{CacheLevel, LINE_BYTES};

use self::private::{PrivateLevel, private_level};
pub(crate) use self::shared::{SharedLevel, shared_level};
pub(crate) use self::shortcuts::{Shortcuts, VcpuShortcuts};

/// What an access made the caches do to memory, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MemoryTraffic {
    /// Physical addresses of the dirty lines that had to leave the last level: one to take in what
    /// left the private level, one to make room for what is filled.
    pub(crate) written_back: [Option<u64>; 2],
    /// Physical address of the line that was filled, by a load or a store.
    pub(crate) filled: Option<u64>,
}

/// What an access made one level do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Miss {
    /// The dirty line that had to leave.
    written_back: Option<u64>,
    /// The line that is missing.
    filled: Option<u64>,
}

/// The caches as one vCPU sees them.
#[derive(Debug)]
pub(crate) struct Cache {
    private: Box<dyn PrivateLevel>,
    shared: Option<Arc<dyn SharedLevel>>,
}

impl Cache {
    /// An empty private level of this shape, before a level that is shared with others.
    pub(crate) fn new(private: CacheLevel, shared: Option<Arc<dyn SharedLevel>>) -> Self {
        Self {
            private: private_level(private),
            shared,
        }
    }

    /// An access to RAM at `virtual_address`, which is `physical_address`; to be called when it is
    /// not settled by a shortcut.
    pub(crate) fn access(
        &mut self,
        shortcuts: &VcpuShortcuts,
        virtual_address: u64,
        physical_address: u64,
        is_store: bool,
    ) -> MemoryTraffic {
        let line_address = physical_address & !(LINE_BYTES - 1);
        let private = &mut self.private;
        let miss = private.access(shortcuts, virtual_address, line_address, is_store);
        let (Some(shared), Some(line_address)) = (&self.shared, miss.filled) else {
            return MemoryTraffic {
                written_back: [miss.written_back, None],
                filled: miss.filled,
            };
        };
        let evicted = miss.written_back.and_then(|line| shared.write_back(line));
        let fetched = shared.fetch(line_address);
        MemoryTraffic {
            written_back: [evicted, fetched.written_back],
            filled: fetched.filled,
        }
    }

    /// Drops the lines of the private level whose addresses `is_dropped` picks, dirty or not.
    pub(crate) fn drop_lines(
        &mut self,
        shortcuts: &VcpuShortcuts,
        is_dropped: &dyn Fn(u64) -> bool,
    ) {
        self.private.drop_lines(shortcuts, is_dropped);
    }
}

/// Where the line of an address belongs in an array whose length is a power of two.
#[inline]
fn place(address: u64, length: usize) -> usize {
    // The plugin runs where QEMU's TCG for x86-64 guests does: usize has 64 bits.
    #[allow(clippy::cast_possible_truncation)]
    let line = (address / LINE_BYTES) as usize;
    line & length.wrapping_sub(1)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
