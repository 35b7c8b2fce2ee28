// SPDX-License-Identifier: BSD-3-Clause
//! The device's side: owns the memory, hands it to a producer, and drains the rings.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::doorbell::Doorbell;
use crate::error::Error;
use crate::handover;
use crate::layout::{ENTRIES_PER_RING, Geometry, Layout, RingControl};
use crate::record::{Record, Window};

/// Records given to the caller of [`Feed::drain`] at a time.
const BATCH_RECORDS: usize = 1024;
/// Bit 0 of the `armed` word; the bits above count changes, so that no acknowledgement of an
/// earlier change is taken for one of a later change.
pub(crate) const ARMED_BIT: u32 = 1;

/// Sizes and windows of a [`Feed`].
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// Rings, one for each vCPU that can produce; 1 to [`MAX_RINGS`](crate::MAX_RINGS).
    pub rings: u32,
    /// Entries of each ring, 8 bytes each; a power of two from 64 to 1,048,576.
    pub entries_per_ring: u32,
    /// Which accesses to report; 1 to [`MAX_WINDOWS`](crate::MAX_WINDOWS).
    pub windows: Vec<Window>,
}

impl FeedConfig {
    /// Eight rings of the default size for `windows`.
    pub fn for_windows(windows: Vec<Window>) -> Self {
        Self {
            rings: 8,
            entries_per_ring: ENTRIES_PER_RING,
            windows,
        }
    }
}

/// What one [`Feed::drain`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrainReport {
    /// Records given to the caller.
    pub records: u64,
    /// Records that producers dropped because a ring stayed full, since the last drain.
    pub lost: u64,
    /// Rings with impossible indices, now resynchronised, plus words that were no record. Zero
    /// unless the producer is broken.
    pub corrupt: u64,
}

/// Private state of one ring. The shared copy of `consumed` is written, never read.
#[derive(Debug, Default)]
struct RingReader {
    consumed: u64,
    lost: u64,
}

/// The consumer's end of the rings of one device.
#[derive(Debug)]
pub struct Feed {
    layout: Layout,
    doorbell: Doorbell,
    producer: Option<UnixStream>,
    arming: u32,
    readers: Vec<RingReader>,
    batch: Vec<Record>,
}

impl Feed {
    /// Makes the shared memory and the doorbell. Nobody is attached yet, and the feed is disarmed.
    ///
    /// # Errors
    /// When the configuration is out of range or the system refuses the memory.
    pub fn create(config: &FeedConfig) -> Result<Self, Error> {
        let geometry = Geometry::new(config.rings, config.entries_per_ring)?;
        let readers = (0..config.rings).map(|_| RingReader::default()).collect();
        Ok(Self {
            layout: Layout::create(geometry, &config.windows)?,
            doorbell: Doorbell::new().map_err(Error::Doorbell)?,
            producer: None,
            arming: 0,
            readers,
            batch: Vec::with_capacity(BATCH_RECORDS),
        })
    }

    /// Becomes readable when a ring passes a quarter of its entries, when one is full, and when
    /// the producer acknowledges an arming. [`Feed::silence_doorbell`] ends that.
    pub fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    /// Makes the doorbell unreadable until it rings again. Call it before draining, not after.
    pub fn silence_doorbell(&self) {
        self.doorbell.silence();
    }

    /// Attaches the process at the other end of `stream` as the producer.
    ///
    /// # Errors
    /// [`Error::ProducerAttached`] while an earlier producer lives; the stream is closed then.
    pub fn hand_over(&mut self, stream: UnixStream) -> Result<(), Error> {
        if self.producer_attached() {
            return Err(Error::ProducerAttached);
        }
        // What an earlier producer acknowledged says nothing about this one.
        self.change_arming(self.armed());
        handover::send(&stream, self.layout.memory().as_fd(), self.doorbell.as_fd())
            .map_err(Error::HandOver)?;
        self.producer = Some(stream);
        Ok(())
    }

    /// The attached producer's socket. It becomes readable when the producer is gone; call
    /// [`Feed::producer_attached`] then.
    pub fn producer_socket(&self) -> Option<BorrowedFd<'_>> {
        self.producer.as_ref().map(UnixStream::as_fd)
    }

    /// Whether a producer is attached. A producer that closed its socket, died, or sent anything
    /// is detached by this call; what it wrote can still be drained.
    pub fn producer_attached(&mut self) -> bool {
        if self.producer.as_ref().is_some_and(is_silent) {
            return true;
        }
        self.producer = None;
        false
    }

    /// Asks the producer to report accesses, or to stop.
    pub fn set_armed(&mut self, armed: bool) {
        if armed != self.armed() {
            self.change_arming(armed);
        }
    }

    /// What was last asked for.
    pub fn armed(&self) -> bool {
        self.arming & ARMED_BIT != 0
    }

    /// Whether an attached producer acts on what was last asked for: from now on every access in
    /// the windows is reported, or none.
    pub fn acknowledged(&self) -> bool {
        self.producer.is_some()
            && self.layout.header().acknowledged.0.load(Ordering::Acquire) == self.arming
    }

    fn change_arming(&mut self, armed: bool) {
        let counted = self.arming | ARMED_BIT;
        self.arming = counted.wrapping_add(1) | u32::from(armed);
        let word = &self.layout.header().armed.0;
        word.store(self.arming, Ordering::Release);
    }

    /// Gives the waiting records to `consume`, in batches; the records of one ring are in the order
    /// of its vCPU's accesses. A ring is looked at once, so this ends however fast a producer
    /// writes: after as many records as all rings have entries, at most.
    pub fn drain(&mut self, mut consume: impl FnMut(&[Record])) -> DrainReport {
        let mut report = DrainReport::default();
        for index in 0..self.layout.geometry().ring_count {
            self.drain_ring(index, &mut report, &mut consume);
        }
        report
    }

    fn drain_ring(
        &mut self,
        index: u32,
        report: &mut DrainReport,
        consume: &mut impl FnMut(&[Record]),
    ) {
        let Some(reader) = self.readers.get_mut(index as usize) else {
            return;
        };
        let control = self.layout.control(index);
        // SAFETY: the pointer is into the layout's mapping, which self keeps alive.
        let control: &RingControl = unsafe { control.as_ref() };
        // SAFETY: as above, and the entries do not overlap the control block.
        let entries: &[AtomicU64] = unsafe { self.layout.entries(index).as_ref() };
        reader.count_lost(control, report);
        let mut left = reader.waiting(control, entries.len(), report);
        while left > 0 {
            let count = left.min(BATCH_RECORDS);
            self.batch.clear();
            for _ in 0..count {
                let word = reader.take(entries);
                match Record::from_word(word) {
                    Some(record) => self.batch.push(record),
                    None => report.corrupt = report.corrupt.saturating_add(1),
                }
            }
            control.consumed.0.store(reader.consumed, Ordering::Release);
            consume(&self.batch);
            report.records = report.records.saturating_add(self.batch.len() as u64);
            left = left.saturating_sub(count);
        }
    }
}

impl RingReader {
    /// Entries that the producer has written and we have not read. Where its index is impossible,
    /// everything up to that index is skipped and reported.
    fn waiting(
        &mut self,
        control: &RingControl,
        entries: usize,
        report: &mut DrainReport,
    ) -> usize {
        let written = control.producer.0.written.load(Ordering::Acquire);
        let waiting = usize::try_from(written.wrapping_sub(self.consumed)).unwrap_or(usize::MAX);
        if waiting <= entries {
            return waiting;
        }
        report.corrupt = report.corrupt.saturating_add(1);
        self.consumed = written;
        control.consumed.0.store(written, Ordering::Release);
        0
    }

    fn count_lost(&mut self, control: &RingControl, report: &mut DrainReport) {
        let lost = control.producer.0.lost.load(Ordering::Relaxed);
        match lost.checked_sub(self.lost) {
            Some(more) => report.lost = report.lost.saturating_add(more),
            None => report.corrupt = report.corrupt.saturating_add(1),
        }
        self.lost = lost;
    }

    /// The next word. The entries are a power of two, so the mask keeps the index inside.
    fn take(&mut self, entries: &[AtomicU64]) -> u64 {
        let mask = entries.len().wrapping_sub(1);
        // Only the low bits count, so a narrower usize would do as well.
        #[allow(clippy::cast_possible_truncation)]
        let place = self.consumed as usize & mask;
        self.consumed = self.consumed.wrapping_add(1);
        entries
            .get(place)
            .map_or(0, |entry| entry.load(Ordering::Relaxed))
    }
}

/// Whether the peer of `stream` is there and has sent nothing, as the protocol wants.
fn is_silent(stream: &UnixStream) -> bool {
    let mut byte = 0_u8;
    // SAFETY: the buffer is one live byte.
    let received = unsafe {
        libc::recv(
            stream.as_raw_fd(),
            (&raw mut byte).cast(),
            1,
            libc::MSG_DONTWAIT,
        )
    };
    received < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests;
