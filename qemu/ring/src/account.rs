// SPDX-License-Identifier: BSD-3-Clause
//! What a vCPU does to memory, counted in the shared memory: exact even where records are lost.

use std::sync::atomic::{AtomicU64, Ordering};

use chmu_spec::access::Access;
use chmu_spec::address::Hpa;
use chmu_spec::request::AccessKind;

use crate::limits::MAX_WINDOWS;
use crate::window::Window;

/// Requests to memory: with a cache model the lines that were filled and those that were written
/// back, without one the loads and the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Lines that were filled, or loads.
    pub reads: u64,
    /// Lines that were written back, or stores.
    pub writes: u64,
}

/// What one vCPU did while the device was armed, since the producer was attached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VcpuAccount {
    /// Number of the vCPU, which is that of its ring.
    pub vcpu: u32,
    /// Guest instructions, as of the vCPU's last interrupt. A block of them counts when it begins, so those
    /// behind a fault in it are among them.
    pub instructions: u64,
    /// Requests to each window of the feed, in the feed's order. Where windows overlap, a request counts
    /// for the first.
    pub windows: Vec<Traffic>,
    /// Requests to all other RAM of the guest.
    pub elsewhere: Traffic,
}

/// The counters of one vCPU. Its thread is the only one that writes them.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct AccountWords {
    instructions: AtomicU64,
    elsewhere: TrafficWords,
    windows: [TrafficWords; MAX_WINDOWS],
}

#[derive(Debug)]
#[repr(C)]
struct TrafficWords {
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Traffic {
    /// The sum, which goes no further than a counter can.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self {
            reads: self.reads.saturating_add(other.reads),
            writes: self.writes.saturating_add(other.writes),
        }
    }
}

impl VcpuAccount {
    /// Whether the vCPU did nothing.
    pub(crate) fn is_empty(&self) -> bool {
        let mut traffic = self.windows.iter().chain([&self.elsewhere]);
        self.instructions == 0 && traffic.all(|traffic| *traffic == Traffic::default())
    }
}

impl AccountWords {
    /// Counts a request; returns whether it is for one of `windows`.
    #[inline]
    pub(crate) fn count(&self, windows: &[Window], request: Access<Hpa>) -> bool {
        let mut windows = windows.iter().zip(&self.windows);
        let found = windows.find(|(window, _)| window.contains(request.address()));
        let traffic = found.map_or(&self.elsewhere, |(_, traffic)| traffic);
        let word = match request.kind() {
            AccessKind::Read => &traffic.reads,
            AccessKind::Write => &traffic.writes,
        };
        add(word, 1);
        found.is_some()
    }

    pub(crate) fn add_instructions(&self, more: u64) {
        add(&self.instructions, more);
    }

    /// Reads the counters of vCPU `vcpu`, of which `windows` are in use.
    pub(crate) fn read(&self, vcpu: u32, windows: usize) -> VcpuAccount {
        let windows = self.windows.iter().take(windows);
        VcpuAccount {
            vcpu,
            instructions: self.instructions.load(Ordering::Relaxed),
            windows: windows.map(TrafficWords::read).collect(),
            elsewhere: self.elsewhere.read(),
        }
    }
}

impl TrafficWords {
    fn read(&self) -> Traffic {
        Traffic {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }
}

/// Adds to a counter that nobody else writes.
#[inline]
fn add(word: &AtomicU64, more: u64) {
    let sum = word.load(Ordering::Relaxed).wrapping_add(more);
    word.store(sum, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
