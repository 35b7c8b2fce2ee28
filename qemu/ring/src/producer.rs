// SPDX-License-Identifier: BSD-3-Clause
//! The side that sees accesses: attaches to a device's feed and writes its rings.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chmu_spec::access::Access;
use chmu_spec::address::Hpa;

use crate::account::AccountWords;
use crate::arming::Arming;
use crate::error::Error;
use crate::handover;
use crate::layout::{Layout, RingControl};

use crate::shared_memory::SharedMemory;
use crate::window::Window;

/// How long a device may take to hand over its feed.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a full ring holds up its writer before records are dropped.
const FULL_RING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a held-up writer sleeps before it looks for room again. A device takes a full ring in
/// some 500 us.
const NAP: Duration = Duration::from_micros(20);
/// How often a held-up writer looks whether the device is still there.
const LIFE_CHECK_PERIOD: Duration = Duration::from_millis(1);

/// What a producer shares with its rings.
#[derive(Debug)]
struct Link {
    layout: Layout,
    socket: UnixStream,
}

/// The producer's end of the rings of one device. A process may have several, one per device.
///
/// Dropping it and its [`RingProducer`]s detaches.
#[derive(Debug)]
pub struct Producer {
    link: Arc<Link>,
    windows: Vec<Window>,
    taken: Vec<bool>,
}

impl Producer {
    /// Attaches to the device that listens on the access socket `path`.
    ///
    /// # Errors
    /// When nobody listens there, when the device refuses or does not answer within 5 s, or when
    /// what it hands over is damaged.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::attach(UnixStream::connect(path).map_err(Error::Connect)?)
    }

    /// Attaches to the device at the other end of `socket`.
    ///
    /// # Errors
    /// As [`Producer::connect`].
    pub fn attach(socket: UnixStream) -> Result<Self, Error> {
        socket
            .set_read_timeout(Some(HAND_OVER_TIMEOUT))
            .map_err(Error::Receive)?;
        let memory = handover::receive(&socket)?;
        let memory = SharedMemory::open(memory).map_err(Error::Memory)?;
        let (layout, windows) = Layout::open(memory)?;
        let taken = vec![false; layout.geometry().ring_count as usize];
        let link = Arc::new(Link { layout, socket });
        Ok(Self {
            link,
            windows,
            taken,
        })
    }

    /// The accesses that the device wants to hear of.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Rings in the feed.
    pub fn ring_count(&self) -> u32 {
        self.link.layout.geometry().ring_count
    }

    /// What the device last asked for.
    #[inline]
    pub fn arming(&self) -> Arming {
        self.link.layout.arming()
    }

    /// Tells the device that `arming` is in effect.
    pub fn acknowledge(&self, arming: Arming) {
        let word = &self.link.layout.header().producer.0.acknowledged;
        word.store(arming.to_word(), Ordering::Release);
        handover::ring(&self.link.socket);
    }

    /// Whether the device closed its end or died. Its windows then need no reports any more.
    pub fn device_gone(&self) -> bool {
        handover::is_closed(&self.link.socket)
    }

    /// Tells the device that `count` vCPUs have no ring; their accesses are to be counted through
    /// [`Producer::ringless`].
    pub fn set_ringless_vcpus(&self, count: u32) {
        let word = &self.link.layout.header().producer.0.ringless_vcpus;
        word.store(count, Ordering::Relaxed);
    }

    /// Counts the accesses of vCPUs that have no ring.
    pub fn ringless(&self) -> RinglessProducer {
        RinglessProducer(Arc::clone(&self.link))
    }

    /// The writing end of ring `index`, given out once.
    ///
    /// # Errors
    /// When there is no such ring or it was given out before.
    pub fn ring(&mut self, index: u32) -> Result<RingProducer, Error> {
        let ring_count = self.ring_count();
        match self.taken.get_mut(index as usize) {
            None => Err(Error::NoSuchRing { index, ring_count }),
            Some(true) => Err(Error::RingTaken(index)),
            Some(taken) => {
                *taken = true;
                Ok(RingProducer::new(Arc::clone(&self.link), index))
            }
        }
    }
}

/// What a vCPU without a ring has instead: its records are counted as lost.
#[derive(Debug, Clone)]
pub struct RinglessProducer(Arc<Link>);

impl RinglessProducer {
    /// Counts a record as lost, while the device is armed.
    pub fn drop_record(&self) {
        if self.0.layout.arming().is_armed() {
            let lost = &self.0.layout.header().ringless_lost.0;
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The writing end of one ring. It belongs to one thread at a time.
#[derive(Debug)]
pub struct RingProducer {
    index: u32,
    control: NonNull<RingControl>,
    entries: NonNull<AtomicU64>,
    account: NonNull<AccountWords>,
    mask: u64,
    /// Records ever written; the shared copy is written, never read again.
    written: u64,
    /// The value of `written` at which to look how far the consumer has come.
    look_at: u64,
    /// The ring is full, and the doorbell rang for that.
    full: bool,
    /// The ring stayed full for too long; until there is room records are dropped at once.
    dropping: bool,
    link: Arc<Link>,
}

// SAFETY: the pointers are into the mapping that `link` keeps alive, and to atomics only.
unsafe impl Send for RingProducer {}

impl RingProducer {
    fn new(link: Arc<Link>, index: u32) -> Self {
        Self {
            index,
            control: link.layout.control(index),
            entries: link.layout.entries(index).cast(),
            account: link.layout.account(index),
            mask: u64::from(link.layout.geometry().entries_per_ring).wrapping_sub(1),
            written: 0,
            look_at: 0,
            full: false,
            dropping: false,
            link,
        }
    }

    /// Writes a record, visible to the consumer at once. Returns whether it was written.
    ///
    /// Costs a store or two while there is room. A full ring rings the doorbell and waits for
    /// room, for 1 s at most and no longer than the device lives; after that records are dropped
    /// and counted as lost until there is room again. Nothing is waited for, or counted, while
    /// the device is not armed.
    #[inline]
    pub fn push(&mut self, record: Access<Hpa>) -> bool {
        if self.written == self.look_at && !self.make_room() && !self.wait_for_room() {
            return false;
        }
        self.write(record);
        true
    }

    /// Writes a record as [`RingProducer::push`] does, but does not wait for room, and counts
    /// nothing where there is none. Returns whether the record was written.
    #[inline]
    pub fn try_push(&mut self, record: Access<Hpa>) -> bool {
        if self.written == self.look_at && !self.make_room() {
            return false;
        }
        self.write(record);
        true
    }

    #[inline]
    fn write(&mut self, record: Access<Hpa>) {
        // The mask keeps the place below the number of entries, which fits usize.
        #[allow(clippy::cast_possible_truncation)]
        let place = (self.written & self.mask) as usize;
        // SAFETY: `place` is below the number of entries.
        let entry = unsafe { self.entries.add(place) };
        // SAFETY: the entry lies in the mapping that `link` keeps alive.
        let entry = unsafe { entry.as_ref() };
        entry.store(record.word(), Ordering::Relaxed);
        self.written = self.written.wrapping_add(1);
        let written = &self.control().producer.0.written;
        written.store(self.written, Ordering::Release);
    }

    /// Counts a request of the ring's vCPU in its account; returns whether it is for one of
    /// `windows`, those of [`Producer::windows`], and so to be pushed.
    #[inline]
    pub fn count(&self, windows: &[Window], request: Access<Hpa>) -> bool {
        self.account().count(windows, request)
    }

    /// Adds to the instructions of the ring's vCPU in its account.
    pub fn add_instructions(&self, more: u64) {
        self.account().add_instructions(more);
    }

    #[inline]
    fn account(&self) -> &AccountWords {
        // SAFETY: the account lies in the mapping that `link` keeps alive, and is all atomics.
        unsafe { self.account.as_ref() }
    }

    #[inline]
    fn control(&self) -> &RingControl {
        // SAFETY: the control block lies in the mapping that `link` keeps alive.
        unsafe { self.control.as_ref() }
    }

    fn entry_count(&self) -> u64 {
        self.mask.wrapping_add(1)
    }

    /// Looks how far the consumer has come; returns whether a record can be written.
    #[cold]
    fn make_room(&mut self) -> bool {
        let Some(fill) = self.find_room() else {
            if !self.full {
                self.full = true;
                handover::ring(&self.link.socket);
            }
            return false;
        };
        self.mark_active();
        if fill >= self.entry_count() / 4 {
            handover::ring(&self.link.socket);
        }
        true
    }

    /// Records waiting in the ring, or `None` when it is full. Sets where to look next: at each
    /// quarter, so that the doorbell costs next to nothing.
    fn find_room(&mut self) -> Option<u64> {
        let consumed = self.control().consumed.0.load(Ordering::Acquire);
        let fill = self.written.wrapping_sub(consumed);
        if fill >= self.entry_count() {
            return None;
        }
        let quarter = self.entry_count() / 4;
        let until_look = quarter.wrapping_sub(fill & quarter.wrapping_sub(1));
        self.look_at = self.written.wrapping_add(until_look);
        self.full = false;
        self.dropping = false;
        Some(fill)
    }

    /// Has the consumer look at this ring, from the first record on.
    fn mark_active(&self) {
        let header = self.link.layout.header();
        let bit = 1 << (self.index % u64::BITS);
        if let Some(word) = header
            .producer
            .0
            .active
            .get((self.index / u64::BITS) as usize)
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::Release);
        }
    }

    #[cold]
    fn wait_for_room(&mut self) -> bool {
        let start = Instant::now();
        let mut next_check = LIFE_CHECK_PERIOD;
        while self.link.layout.arming().is_armed() {
            if self.dropping {
                self.count_lost();
                return false;
            }
            thread::sleep(NAP);
            if self.find_room().is_some() {
                return true;
            }
            let waited = start.elapsed();
            if waited >= next_check {
                next_check = waited.saturating_add(LIFE_CHECK_PERIOD);
                self.dropping =
                    handover::is_closed(&self.link.socket) || waited > FULL_RING_TIMEOUT;
            }
        }
        false
    }

    fn count_lost(&self) {
        let lost = &self.control().producer.0.lost;
        let more = lost.load(Ordering::Relaxed).wrapping_add(1);
        lost.store(more, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
