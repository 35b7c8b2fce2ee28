// SPDX-License-Identifier: BSD-3-Clause
//! The device's side: makes the memory of a producer, hands it over, and drains its rings.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use chmu_spec::access::Access;
use chmu_spec::address::Hpa;

use crate::account::VcpuAccount;
use crate::arming::Arming;
use crate::error::Error;
use crate::handover;
use crate::layout::{Geometry, Layout, check_windows};
use crate::limits::ENTRIES_PER_RING;
use crate::reader::{BATCH_RECORDS, DrainReport, Rings};
use crate::window::Window;

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
    /// `rings` rings of the default size for `windows`.
    pub fn new(rings: u32, windows: Vec<Window>) -> Self {
        Self {
            rings,
            entries_per_ring: ENTRIES_PER_RING,
            windows,
        }
    }
}

/// The consumer's end of the rings of one device.
#[derive(Debug)]
pub struct Feed {
    geometry: Geometry,
    windows: Vec<Window>,
    arming: Arming,
    producer: Option<Attached>,
    /// Rings of the last producer that left, until they are drained.
    left: Option<Rings>,
    /// The accounts of the last producer that left.
    left_accounts: Vec<VcpuAccount>,
    batch: Vec<Access<Hpa>>,
}

/// A producer and the rings that were made for it.
#[derive(Debug)]
struct Attached {
    socket: UnixStream,
    rings: Rings,
}

impl Feed {
    /// A feed that nobody is attached to, disarmed.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn create(config: &FeedConfig) -> Result<Self, Error> {
        check_windows(&config.windows)?;
        Ok(Self {
            geometry: Geometry::new(config.rings, config.entries_per_ring)?,
            windows: config.windows.clone(),
            arming: Arming::default(),
            producer: None,
            left: None,
            left_accounts: Vec::new(),
            batch: Vec::with_capacity(BATCH_RECORDS),
        })
    }

    /// Attaches the process at the other end of `stream` as the producer, with memory that nobody
    /// else has. What waits in the rings of an earlier one is drained before; what waited in the
    /// rings of the one before that is dropped.
    ///
    /// # Errors
    /// [`Error::ProducerAttached`] while an earlier producer lives, and when the system refuses
    /// the memory; the stream is closed then.
    pub fn hand_over(&mut self, stream: UnixStream) -> Result<(), Error> {
        if self.producer_attached() {
            return Err(Error::ProducerAttached);
        }
        // What an earlier producer acknowledged says nothing about this one.
        self.arming = self.arming.next(self.armed());
        let layout = Layout::create(self.geometry, &self.windows, self.arming)?;
        handover::hand_over(&stream, layout.memory().as_fd())?;
        self.producer = Some(Attached {
            socket: stream,
            rings: Rings::new(layout),
        });
        Ok(())
    }

    /// The attached producer's socket. It becomes readable when a ring passes a quarter of its
    /// entries, when one is full, when the producer acknowledges an arming, and when it is gone;
    /// call [`Feed::hear`] then.
    pub fn producer_socket(&self) -> Option<BorrowedFd<'_>> {
        self.producer
            .as_ref()
            .map(|producer| producer.socket.as_fd())
    }

    /// Takes rings of the doorbell; returns whether a producer is attached and alive. One that is
    /// not stays attached until [`Feed::detach`]. Call it before draining, not after.
    pub fn hear(&self) -> bool {
        let producer = self.producer.as_ref();
        producer.is_some_and(|producer| handover::hear(&producer.socket))
    }

    /// Closes the producer's socket. What it wrote can still be drained, once.
    pub fn detach(&mut self) {
        if let Some(producer) = self.producer.take() {
            self.left_accounts = producer.rings.accounts(self.windows.len());
            self.left = Some(producer.rings);
        }
    }

    /// Whether a producer is attached. One that closed its socket or died is detached by this call.
    pub fn producer_attached(&mut self) -> bool {
        let attached = self.hear();
        if !attached {
            self.detach();
        }
        attached
    }

    /// Asks the producer to report accesses, or to stop.
    pub fn set_armed(&mut self, armed: bool) {
        if armed == self.armed() {
            return;
        }
        self.arming = self.arming.next(armed);
        if let Some(producer) = &self.producer {
            producer.rings.layout.set_arming(self.arming);
        }
    }

    /// What was last asked for.
    pub fn armed(&self) -> bool {
        self.arming.is_armed()
    }

    /// Whether an attached producer acts on what was last asked for: from now on every access in
    /// the windows is reported, or none.
    pub fn acknowledged(&self) -> bool {
        self.producer.as_ref().is_some_and(|producer| {
            let header = producer.rings.layout.header();
            let word = header.producer.0.acknowledged.load(Ordering::Acquire);
            Arming::from_word(word) == self.arming
        })
    }

    /// vCPUs of the attached producer that have no ring, as it says.
    pub fn ringless_vcpus(&self) -> u32 {
        self.producer.as_ref().map_or(0, |producer| {
            let header = producer.rings.layout.header();
            header.producer.0.ringless_vcpus.load(Ordering::Relaxed)
        })
    }

    /// What the vCPUs of the attached producer did, or of the last one; those that did nothing are
    /// not among them. Only as true as the producer: any number may be there.
    pub fn accounts(&self) -> Vec<VcpuAccount> {
        self.producer.as_ref().map_or_else(
            || self.left_accounts.clone(),
            |producer| producer.rings.accounts(self.windows.len()),
        )
    }

    /// Gives the waiting records to `consume`, in batches; the records of one ring are in the order
    /// of its vCPU's accesses. A ring is looked at once, so this ends however fast a producer
    /// writes: after as many records as all rings have entries, at most. Rings that were never
    /// written to are not looked at.
    pub fn drain(&mut self, mut consume: impl FnMut(&[Access<Hpa>])) -> DrainReport {
        let mut report = DrainReport::default();
        if let Some(mut left) = self.left.take() {
            left.drain(&mut self.batch, &mut report, &mut consume);
        }
        if let Some(producer) = &mut self.producer {
            producer
                .rings
                .drain(&mut self.batch, &mut report, &mut consume);
        }
        report
    }
}

#[cfg(test)]
mod tests;
