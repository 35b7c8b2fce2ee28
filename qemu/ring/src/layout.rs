// SPDX-License-Identifier: BSD-3-Clause
//! How the shared memory is laid out: header page, ring control blocks, entries.
//!
//! | offset | content |
//! | --- | --- |
//! | 0 | [`Header`], one page |
//! | 4096 | [`RingControl`] of each ring, padded to a page |
//! | after that | [`AccountWords`] of each ring's vCPU, padded to a page |
//! | after that | the entries of ring 0, of ring 1, ... |
//!
//! Everything is an atomic integer in native byte order: both sides run on one host, and either
//! may find any bit pattern anywhere.

use std::mem::{align_of, offset_of, size_of};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::account::AccountWords;
use crate::arming::Arming;
use crate::error::Error;
use crate::limits::{ENTRIES_RANGE, MAX_RINGS, MAX_WINDOWS, VERSION};
use crate::shared_memory::SharedMemory;
use crate::window::Window;

/// "CHMURING" in memory.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"CHMURING");

const PAGE_BYTES: usize = 4096;

/// Keeps a word that one side writes off the lines that the other side writes. 128 bytes, because
/// processors prefetch lines in pairs.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct OwnLine<T>(pub(crate) T);

/// Base and size of a [`Window`].
#[derive(Debug)]
#[repr(C)]
pub(crate) struct WindowWords {
    base: AtomicU64,
    size: AtomicU64,
}

/// One bit for each ring.
pub(crate) type RingBits = [AtomicU64; (MAX_RINGS / u64::BITS) as usize];

/// The words of the header that the producer writes.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ProducerHeader {
    /// The last request that is in effect.
    pub(crate) acknowledged: AtomicU32,
    /// vCPUs that have no ring.
    pub(crate) ringless_vcpus: AtomicU32,
    /// Rings that were ever written to.
    pub(crate) active: RingBits,
}

/// First page of the shared memory. Written by the consumer before it hands the memory over, but
/// for `armed`, which it changes later, and what is the producer's.
#[derive(Debug)]
#[repr(C, align(4096))]
pub(crate) struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    ring_count: AtomicU32,
    entries_per_ring: AtomicU32,
    window_count: AtomicU32,
    total_bytes: AtomicU64,
    windows: [WindowWords; MAX_WINDOWS],
    armed: OwnLine<AtomicU32>,
    pub(crate) producer: OwnLine<ProducerHeader>,
    /// Records that were dropped because their vCPU has no ring.
    pub(crate) ringless_lost: OwnLine<AtomicU64>,
}

/// The words of a ring that its producer writes.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ProducerWords {
    /// Records ever written. The next one goes to this value modulo the ring's entries.
    pub(crate) written: AtomicU64,
    /// Records that were dropped because the ring stayed full.
    pub(crate) lost: AtomicU64,
}

/// Indices of one ring. They count records since the feed was made and never wrap in practice.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RingControl {
    pub(crate) producer: OwnLine<ProducerWords>,
    /// Records the consumer is done with; their places may be reused.
    pub(crate) consumed: OwnLine<AtomicU64>,
}

const _: () = {
    assert!(size_of::<Header>() == PAGE_BYTES);
    assert!(offset_of!(Header, version) == 8);
    assert!(offset_of!(Header, ring_count) == 12);
    assert!(offset_of!(Header, entries_per_ring) == 16);
    assert!(offset_of!(Header, window_count) == 20);
    assert!(offset_of!(Header, total_bytes) == 24);
    assert!(offset_of!(Header, windows) == 32);
    assert!(offset_of!(Header, armed) == 384);
    assert!(offset_of!(Header, producer) == 512);
    assert!(offset_of!(Header, ringless_lost) == 640);
    assert!(offset_of!(ProducerHeader, active) == 8);
    assert!(size_of::<RingControl>() == 256);
    assert!(align_of::<RingControl>() == 128);
    assert!(offset_of!(RingControl, consumed) == 128);
    assert!(PAGE_BYTES.is_multiple_of(size_of::<RingControl>()));
    assert!(size_of::<OwnLine<AccountWords>>() == 384);
};

/// Sizes of a feed, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) ring_count: u32,
    pub(crate) entries_per_ring: u32,
}

impl Geometry {
    pub(crate) fn new(ring_count: u32, entries_per_ring: u32) -> Result<Self, Error> {
        if ring_count == 0 || ring_count > MAX_RINGS {
            return Err(Error::RingCount(ring_count));
        }
        if !entries_per_ring.is_power_of_two() || !ENTRIES_RANGE.contains(&entries_per_ring) {
            return Err(Error::EntryCount(entries_per_ring));
        }
        Ok(Self {
            ring_count,
            entries_per_ring,
        })
    }

    // The limits above keep every sum and product below 2^32.
    #[allow(clippy::arithmetic_side_effects)]
    fn control_offset(self, index: u32) -> usize {
        PAGE_BYTES + index as usize * size_of::<RingControl>()
    }

    #[allow(clippy::arithmetic_side_effects)]
    fn account_offset(self, index: u32) -> usize {
        self.control_offset(self.ring_count)
            .next_multiple_of(PAGE_BYTES)
            + index as usize * size_of::<OwnLine<AccountWords>>()
    }

    #[allow(clippy::arithmetic_side_effects)]
    fn entries_offset(self, index: u32) -> usize {
        let ring_bytes = self.entries_per_ring as usize * size_of::<u64>();
        self.account_offset(self.ring_count)
            .next_multiple_of(PAGE_BYTES)
            + index as usize * ring_bytes
    }

    pub(crate) fn total_bytes(self) -> usize {
        self.entries_offset(self.ring_count)
            .next_multiple_of(PAGE_BYTES)
    }
}

/// Checks the windows of a feed.
pub(crate) fn check_windows(windows: &[Window]) -> Result<(), Error> {
    if !(1..=MAX_WINDOWS).contains(&windows.len()) {
        return Err(Error::WindowCount(windows.len()));
    }
    match windows.iter().find(|window| !window.is_valid()) {
        Some(window) => Err(Error::Window(*window)),
        None => Ok(()),
    }
}

/// The shared memory, seen through its layout. The sizes are those of private memory: nothing
/// that the other side writes later changes them.
#[derive(Debug)]
pub(crate) struct Layout {
    memory: SharedMemory,
    geometry: Geometry,
}

impl Layout {
    /// Makes the memory of a feed and fills in its header. `windows` are checked ones.
    pub(crate) fn create(
        geometry: Geometry,
        windows: &[Window],
        arming: Arming,
    ) -> Result<Self, Error> {
        let memory = SharedMemory::create(geometry.total_bytes()).map_err(Error::Memory)?;
        let layout = Self { memory, geometry };
        let header = layout.header();
        header.magic.store(MAGIC, Ordering::Relaxed);
        header.version.store(VERSION, Ordering::Relaxed);
        header
            .ring_count
            .store(geometry.ring_count, Ordering::Relaxed);
        header
            .entries_per_ring
            .store(geometry.entries_per_ring, Ordering::Relaxed);
        for (words, window) in header.windows.iter().zip(windows) {
            words.base.store(window.base, Ordering::Relaxed);
            words.size.store(window.size, Ordering::Relaxed);
        }
        let window_count = u32::try_from(windows.len()).unwrap_or(u32::MAX);
        header.window_count.store(window_count, Ordering::Relaxed);
        header
            .total_bytes
            .store(geometry.total_bytes() as u64, Ordering::Relaxed);
        layout.set_arming(arming);
        Ok(layout)
    }

    /// Checks the header of memory that was handed over, and reads the windows from it.
    pub(crate) fn open(memory: SharedMemory) -> Result<(Self, Vec<Window>), Error> {
        let header: &Header = memory
            .at(0)
            // SAFETY: the reference lives as long as `memory`, and every bit pattern is a header.
            .map(|header| unsafe { header.as_ref() })
            .ok_or(Error::Header("it is smaller than its header"))?;
        if header.magic.load(Ordering::Relaxed) != MAGIC {
            return Err(Error::Header("it does not start with the magic number"));
        }
        if header.version.load(Ordering::Relaxed) != VERSION {
            return Err(Error::Protocol);
        }
        let geometry = Geometry::new(
            header.ring_count.load(Ordering::Relaxed),
            header.entries_per_ring.load(Ordering::Relaxed),
        )?;
        if header.total_bytes.load(Ordering::Relaxed) != geometry.total_bytes() as u64
            || memory.bytes() != geometry.total_bytes()
        {
            return Err(Error::Header("its size is not the size of its rings"));
        }
        let window_count = header.window_count.load(Ordering::Relaxed) as usize;
        let windows: Vec<Window> = header
            .windows
            .iter()
            .take(window_count)
            .map(|words| Window {
                base: words.base.load(Ordering::Relaxed),
                size: words.size.load(Ordering::Relaxed),
            })
            .collect();
        if windows.len() != window_count {
            return Err(Error::WindowCount(window_count));
        }
        check_windows(&windows)?;
        Ok((Self { memory, geometry }, windows))
    }

    /// What the device last asked for.
    #[inline]
    pub(crate) fn arming(&self) -> Arming {
        Arming::from_word(self.header().armed.0.load(Ordering::Acquire))
    }

    /// Tells the producer what the device asks for.
    pub(crate) fn set_arming(&self, arming: Arming) {
        let word = &self.header().armed.0;
        word.store(arming.to_word(), Ordering::Release);
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        let header = self.place(0);
        // SAFETY: `place` gives an aligned pointer into the mapping, which lives as long as self;
        // the type is all atomics, so any content is valid and shared changes are allowed.
        unsafe { header.as_ref() }
    }

    /// Control block of ring `index`, which is below the ring count.
    pub(crate) fn control(&self, index: u32) -> NonNull<RingControl> {
        self.place(self.geometry.control_offset(index))
    }

    /// Counters of the vCPU of ring `index`, which is below the ring count.
    pub(crate) fn account(&self, index: u32) -> NonNull<AccountWords> {
        self.place(self.geometry.account_offset(index))
    }

    /// First entry of ring `index`, which is below the ring count; `entries_per_ring` follow.
    pub(crate) fn entries(&self, index: u32) -> NonNull<[AtomicU64]> {
        let first = self.place(self.geometry.entries_offset(index));
        NonNull::slice_from_raw_parts(first, self.geometry.entries_per_ring as usize)
    }

    // The offsets come from the geometry, and `create` and `open` made sure that the mapping has
    // exactly the geometry's size.
    #[allow(clippy::expect_used)]
    fn place<T>(&self, offset: usize) -> NonNull<T> {
        self.memory
            .at(offset)
            .expect("the geometry lies inside the mapping")
    }
}
