// SPDX-License-Identifier: BSD-3-Clause
//! The side that sees accesses: attaches to a device's feed and writes its rings.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::consumer::ARMED_BIT;
use crate::doorbell::Doorbell;
use crate::error::Error;
use crate::handover;
use crate::layout::{Layout, RingControl};
use crate::memfd::SharedMemory;
use crate::record::{Record, Window};

/// How long a device may take to hand over its feed.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a full ring holds up its writer before records are dropped.
const FULL_RING_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a held-up writer looks for room.
const FULL_RING_POLL_MS: libc::c_int = 1;

/// What a device last asked of its producer: to report accesses, or to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arming(u32);

impl Arming {
    /// Whether accesses are to be reported.
    #[inline]
    pub const fn is_armed(self) -> bool {
        self.0 & ARMED_BIT != 0
    }
}

/// What a producer shares with its rings.
#[derive(Debug)]
struct Link {
    layout: Layout,
    doorbell: Doorbell,
    socket: UnixStream,
}

impl Link {
    fn arming(&self) -> Arming {
        Arming(self.layout.header().armed.0.load(Ordering::Acquire))
    }

    /// Waits up to `timeout_ms` for the device to close its end, and says whether it did.
    fn device_gone(&self, timeout_ms: libc::c_int) -> bool {
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLRDHUP,
            revents: 0,
        };
        // SAFETY: one live pollfd is given.
        unsafe { libc::poll(&mut poll, 1, timeout_ms) == 1 }
    }
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
        let (memory, doorbell) = handover::receive(&socket)?;
        let memory = SharedMemory::open(memory).map_err(Error::Memory)?;
        let (layout, windows) = Layout::open(memory)?;
        let taken = vec![false; layout.geometry().ring_count as usize];
        let link = Arc::new(Link {
            layout,
            doorbell: doorbell.into(),
            socket,
        });
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
        self.link.arming()
    }

    /// Tells the device that `arming` is in effect.
    pub fn acknowledge(&self, arming: Arming) {
        let word = &self.link.layout.header().acknowledged.0;
        word.store(arming.0, Ordering::Release);
        self.link.doorbell.ring();
    }

    /// Whether the device closed its end or died. Its windows then need no reports any more.
    pub fn device_gone(&self) -> bool {
        self.link.device_gone(0)
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

/// The writing end of one ring. It belongs to one thread at a time.
#[derive(Debug)]
pub struct RingProducer {
    control: NonNull<RingControl>,
    entries: NonNull<AtomicU64>,
    mask: u64,
    /// Records ever written; the shared copy is written, never read again.
    written: u64,
    /// The value of `written` at which to look how far the consumer has come.
    look_at: u64,
    /// The ring stayed full for too long; until there is room records are dropped at once.
    dropping: bool,
    link: Arc<Link>,
}

// SAFETY: the pointers are into the mapping that `link` keeps alive, and to atomics only.
unsafe impl Send for RingProducer {}

impl RingProducer {
    fn new(link: Arc<Link>, index: u32) -> Self {
        let control = link.layout.control(index);
        // SAFETY: the pointer is into the layout's mapping, which `link` keeps alive.
        let written = unsafe { control.as_ref() }
            .producer
            .0
            .written
            .load(Ordering::Relaxed);
        Self {
            control,
            entries: link.layout.entries(index).cast(),
            mask: u64::from(link.layout.geometry().entries_per_ring).wrapping_sub(1),
            written,
            look_at: written,
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
    pub fn push(&mut self, record: Record) -> bool {
        if self.written == self.look_at && !self.make_room() {
            return false;
        }
        // The mask keeps the place below the number of entries, which fits usize.
        #[allow(clippy::cast_possible_truncation)]
        let place = (self.written & self.mask) as usize;
        // SAFETY: `place` is below the number of entries.
        let entry = unsafe { self.entries.add(place) };
        // SAFETY: the entry lies in the mapping that `link` keeps alive.
        let entry = unsafe { entry.as_ref() };
        entry.store(record.to_word(), Ordering::Relaxed);
        self.written = self.written.wrapping_add(1);
        let written = &self.control().producer.0.written;
        written.store(self.written, Ordering::Release);
        true
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
            return self.wait_for_room();
        };
        if fill >= self.entry_count() / 4 {
            self.link.doorbell.ring();
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
        self.dropping = false;
        Some(fill)
    }

    fn wait_for_room(&mut self) -> bool {
        let start = Instant::now();
        if !self.dropping {
            self.link.doorbell.ring();
        }
        while self.link.arming().is_armed() {
            if self.dropping {
                self.count_lost();
                return false;
            }
            let device_gone = self.link.device_gone(FULL_RING_POLL_MS);
            if self.find_room().is_some() {
                return true;
            }
            self.dropping = device_gone || start.elapsed() > FULL_RING_TIMEOUT;
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
