// SPDX-License-Identifier: GPL-2.0-or-later
//! What one vCPU keeps to turn its accesses into records.

use std::sync::Arc;

use chmu_ring::{Access, Hpa, LINE_BYTES, RingProducer, RinglessProducer, Window};

use crate::cache::{Cache, VcpuShortcuts};
use crate::configuration::{Armed, Configuration};
use crate::pages::{PAGE_BYTES, Pages, Place};

/// Bytes of the largest access that is reported as one; larger ones come in pieces.
pub(crate) const MAX_ACCESS_BYTES: u64 = 16;
/// After how many interrupts a vCPU looks whether the devices are still there.
const INTERRUPTS_PER_LOOK: u32 = 256;

/// An access of the guest, as far as QEMU has to be asked about it.
pub(crate) trait MemoryAccess {
    /// Physical address of the first byte; `None` unless it is in RAM.
    fn physical_address(&self) -> Option<u64>;
    fn size_bytes(&self) -> u64;
}

/// Where the records of a vCPU go to.
#[derive(Debug)]
pub(crate) enum Way {
    /// Into its ring.
    Ring(RingProducer),
    /// Nowhere, because the device has no ring for it; they are counted as lost.
    Ringless(RinglessProducer),
}

impl Way {
    fn request(&mut self, armed: &Armed, record: Access<Hpa>) {
        match self {
            Self::Ring(ring) => {
                if ring.count(&armed.windows, record) {
                    ring.push(record);
                }
            }
            Self::Ringless(ringless) => {
                if armed.hears_of(record.address()) {
                    ringless.drop_record();
                }
            }
        }
    }
}

/// What one vCPU keeps between its accesses: its cache, and the ways of its records.
#[derive(Debug)]
pub(crate) struct Vcpu {
    cache: Option<Cache>,
    shortcuts: VcpuShortcuts,
    pages: Pages,
    /// The windows of all devices, if memory outside them is left out.
    only_windows: Option<Arc<[Window]>>,
    /// The way to each device, by the device's number.
    ways: Vec<Way>,
    /// The version of the configuration that was adopted, and its armed devices.
    version: u64,
    armed: Vec<Armed>,
    /// Instructions until they were last noted.
    instructions: u64,
    interrupts_until_look: u32,
}

impl Vcpu {
    pub(crate) fn new(
        cache: Option<Cache>,
        shortcuts: VcpuShortcuts,
        only_windows: Option<Arc<[Window]>>,
    ) -> Self {
        Self {
            cache,
            shortcuts,
            pages: Pages::new(),
            only_windows,
            ways: Vec::new(),
            version: 0,
            armed: Vec::new(),
            instructions: 0,
            interrupts_until_look: INTERRUPTS_PER_LOOK,
        }
    }

    /// Adds the way to the next device.
    pub(crate) fn add_way(&mut self, way: Way) {
        self.ways.push(way);
    }

    /// Whether the configuration has changed, and is to be adopted before the next access.
    #[inline]
    pub(crate) fn has_to_adopt(&self) -> bool {
        self.shortcuts.take_call()
    }

    /// Puts a changed configuration into effect for this vCPU. Lines that the cache must not hold any
    /// more are dropped, dirty or not.
    pub(crate) fn adopt(&mut self, configuration: &Configuration) {
        let version = self.version;
        if configuration.was_blind_since(version) {
            self.forget_translations();
        }
        if configuration.empties_since(version)
            && let Some(cache) = &mut self.cache
        {
            cache.drop_lines(&self.shortcuts, &|line| {
                configuration.empties_line_since(line, version)
            });
        }
        self.version = configuration.version();
        self.armed = configuration.armed().to_vec();
    }

    /// Takes note of how many instructions this vCPU has begun so far.
    pub(crate) fn note_instructions(&mut self, instructions: u64) {
        let more = instructions.wrapping_sub(self.instructions);
        self.instructions = instructions;
        for armed in &self.armed {
            if let Some(Way::Ring(ring)) = self.ways.get(armed.device) {
                ring.add_instructions(more);
            }
        }
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
        self.access_line(virtual_address, is_store, access);
        if ends_in_line(virtual_address, MAX_ACCESS_BYTES) {
            return;
        }
        let Some(next_line) = next_line_in_page(virtual_address) else {
            return;
        };
        // Where the next line is settled it does not matter whether the access gets there.
        if !self.shortcuts.is_line_settled(next_line, is_store)
            && !ends_in_line(virtual_address, access.size_bytes())
        {
            self.access_line(next_line, is_store, access);
        }
    }

    fn access_line(&mut self, virtual_address: u64, is_store: bool, access: &impl MemoryAccess) {
        if self.shortcuts.is_line_settled(virtual_address, is_store) {
            return;
        }
        let Some(place) = self.place_of(virtual_address, access) else {
            return;
        };
        if !place.is_skipped {
            self.access_memory(virtual_address, place.physical_address, is_store);
        } else if self.cache.is_some() {
            self.shortcuts.learn(virtual_address, true);
        }
    }

    /// Where a virtual address leads that is in the page of an access. QEMU is asked about each page
    /// once, until translations change.
    fn place_of(&mut self, virtual_address: u64, access: &impl MemoryAccess) -> Option<Place> {
        if let Some(place) = self.pages.find(virtual_address) {
            return Some(place);
        }
        let offset = virtual_address % PAGE_BYTES;
        let physical_address = (access.physical_address()? & !(PAGE_BYTES - 1)) + offset;
        let only_windows = self.only_windows.as_deref();
        let place = Place {
            physical_address,
            is_skipped: only_windows.is_some_and(|windows| {
                !windows
                    .iter()
                    .any(|window| window.contains(Hpa(physical_address)))
            }),
        };
        self.pages.learn(virtual_address, place);
        Some(place)
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

    /// Counts a request to memory for every device that is armed, and reports it to those that have
    /// a window there. A record that finds no room, or no ring, is counted.
    fn report(&mut self, record: Access<Hpa>) {
        for armed in &self.armed {
            if let Some(way) = self.ways.get_mut(armed.device) {
                way.request(armed, record);
            }
        }
    }

    /// The guest may have changed what virtual addresses mean.
    pub(crate) fn forget_translations(&mut self) {
        self.shortcuts.forget_all();
        self.pages.forget();
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
