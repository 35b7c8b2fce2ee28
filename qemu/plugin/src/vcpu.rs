// SPDX-License-Identifier: GPL-2.0-or-later
//! What one vCPU keeps to turn its accesses into records.

use chmu_ring::{Access, Arming, Hpa, LINE_BYTES, RingProducer, RinglessProducer, Window};

use crate::cache::{Cache, VcpuShortcuts};

/// Bytes of the largest access that is reported as one; larger ones come in pieces.
pub(crate) const MAX_ACCESS_BYTES: u64 = 16;
const PAGE_BYTES: u64 = 4096;
/// After how many interrupts a vCPU looks whether the devices are still there.
const INTERRUPTS_PER_LOOK: u32 = 256;

/// An access of the guest, as far as QEMU has to be asked about it.
pub(crate) trait MemoryAccess {
    /// Physical address of the first byte; `None` unless it is in RAM.
    fn physical_address(&self) -> Option<u64>;
    fn size_bytes(&self) -> u64;
}

/// What a device asked for when instrumentation was last changed; `None` for one that is gone.
pub(crate) type InEffect = Option<Arming>;

/// A window whose accesses are reported, and the device they are reported to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReportedWindow {
    pub(crate) window: Window,
    pub(crate) device: usize,
}

/// Where the records of a vCPU go to.
#[derive(Debug)]
pub(crate) enum Way {
    /// Into its ring.
    Ring(RingProducer),
    /// Nowhere, because the device has no ring for it; they are counted as lost.
    Ringless(RinglessProducer),
}

/// What one vCPU keeps between its accesses: its cache, and the ways of its records.
#[derive(Debug)]
pub(crate) struct Vcpu {
    cache: Option<Cache>,
    shortcuts: VcpuShortcuts,
    /// The way to each device, by the device's number.
    ways: Vec<Way>,
    reported: Vec<ReportedWindow>,
    in_effect: Vec<InEffect>,
    interrupts_until_look: u32,
}

impl Vcpu {
    pub(crate) fn new(cache: Option<Cache>, shortcuts: VcpuShortcuts) -> Self {
        Self {
            cache,
            shortcuts,
            ways: Vec::new(),
            reported: Vec::new(),
            in_effect: Vec::new(),
            interrupts_until_look: INTERRUPTS_PER_LOOK,
        }
    }

    /// Adds the way to the next device.
    pub(crate) fn add_way(&mut self, way: Way) {
        self.ways.push(way);
    }

    /// Starts anew with an empty cache. What it held dirty is dropped.
    pub(crate) fn configure(&mut self, reported: Vec<ReportedWindow>, in_effect: Vec<InEffect>) {
        self.reported = reported;
        self.in_effect = in_effect;
        if let Some(cache) = &mut self.cache {
            cache.drop_lines(&self.shortcuts, &|_| true);
        }
    }

    /// What each device asked for when this vCPU was last configured.
    pub(crate) fn in_effect(&self) -> &[InEffect] {
        &self.in_effect
    }

    /// Counts an interrupt; true when it is time to look whether the devices are still there.
    pub(crate) fn count_interrupt(&mut self) -> bool {
        self.interrupts_until_look -= 1;
        if self.interrupts_until_look > 0 {
            return false;
        }
        self.interrupts_until_look = INTERRUPTS_PER_LOOK;
        true
    }

    /// An access at `virtual_address`. One that crosses into another line touches both, but the
    /// part in another page is not seen: QEMU tells the physical address of the first byte only.
    pub(crate) fn access(
        &mut self,
        virtual_address: u64,
        is_store: bool,
        access: &impl MemoryAccess,
    ) {
        self.access_line(virtual_address, is_store, || access.physical_address());
        if ends_in_line(virtual_address, MAX_ACCESS_BYTES) {
            return;
        }
        let Some(next_line) = next_line_in_page(virtual_address) else {
            return;
        };
        // Where the next line is settled it does not matter whether the access gets there.
        if self.shortcuts.is_line_settled(next_line, is_store)
            || ends_in_line(virtual_address, access.size_bytes())
        {
            return;
        }
        self.access_line(next_line, is_store, || {
            let first = access.physical_address()?;
            first.checked_add(next_line.wrapping_sub(virtual_address))
        });
    }

    fn access_line(
        &mut self,
        virtual_address: u64,
        is_store: bool,
        physical_address: impl FnOnce() -> Option<u64>,
    ) {
        if !self.shortcuts.is_line_settled(virtual_address, is_store)
            && let Some(physical_address) = physical_address()
        {
            self.access_memory(virtual_address, physical_address, is_store);
        }
    }

    fn access_memory(&mut self, virtual_address: u64, physical_address: u64, is_store: bool) {
        let Some(cache) = &mut self.cache else {
            let of_kind = if is_store {
                Access::write
            } else {
                Access::read
            };
            return self.report(of_kind(Hpa(physical_address)));
        };
        let shortcuts = &self.shortcuts;
        let traffic = cache.access(shortcuts, virtual_address, physical_address, is_store);
        for address in traffic.written_back.into_iter().flatten() {
            self.report(Access::write(Hpa(address)));
        }
        if let Some(address) = traffic.filled {
            self.report(Access::read(Hpa(address)));
        }
    }

    /// Gives `record` to every device that has a window there. A record that finds no room, or no
    /// ring, is counted.
    fn report(&mut self, record: Access<Hpa>) {
        for ReportedWindow { window, device } in &self.reported {
            if !window.contains(record.address()) {
                continue;
            }
            match self.ways.get_mut(*device) {
                Some(Way::Ring(ring)) => {
                    ring.push(record);
                }
                Some(Way::Ringless(ringless)) => ringless.drop_record(),
                None => {}
            }
        }
    }

    /// The guest may have changed what virtual addresses mean.
    pub(crate) fn forget_translations(&mut self) {
        self.shortcuts.forget_all();
    }
}

/// Whether `size_bytes` bytes from `address` on lie in one line.
#[inline]
pub(crate) fn ends_in_line(address: u64, size_bytes: u64) -> bool {
    (address % LINE_BYTES).saturating_add(size_bytes) <= LINE_BYTES
}

/// The line behind that of `address`, if it is in the same page.
#[inline]
pub(crate) fn next_line_in_page(address: u64) -> Option<u64> {
    let next_line = (address | (LINE_BYTES - 1)).wrapping_add(1);
    (!next_line.is_multiple_of(PAGE_BYTES)).then_some(next_line)
}
