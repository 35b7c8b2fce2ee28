// SPDX-License-Identifier: BSD-3-Clause
//! Takes records from the rings of one producer, and believes nothing else that lies there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use chmu_spec::access::{Access, LINE_BYTES};
use chmu_spec::address::Hpa;

use crate::account::{AccountWords, VcpuAccount};
use crate::layout::{Layout, RingControl};

/// Records given to the caller of [`Rings::drain`] at a time.
pub(crate) const BATCH_RECORDS: usize = 1024;

/// Bits that are zero in a record: a producer sees nothing of trusted execution environments.
const RESERVED_BITS: u64 = (LINE_BYTES - 1) & !1;

/// What one [`Feed::drain`](crate::Feed::drain) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrainReport {
    /// Records given to the caller.
    pub records: u64,
    /// Records that producers dropped since the last drain, because a ring stayed full or a vCPU
    /// has none. Never more than could have been made in that time, at one each nanosecond.
    pub lost: u64,
    /// Rings with impossible indices, now resynchronised, counts of lost records that cannot be,
    /// and words that were no record. Zero unless the producer is broken.
    pub corrupt: u64,
}

/// The rings of one producer, and how far they are read.
#[derive(Debug)]
pub(crate) struct Rings {
    pub(crate) layout: Layout,
    readers: Vec<RingReader>,
    ringless_lost: LostCounter,
    /// When they were drained last.
    drained: Instant,
}

/// Private state of one ring. The shared copy of `consumed` is written, never read.
#[derive(Debug, Default)]
struct RingReader {
    consumed: u64,
    lost: LostCounter,
}

/// The last value of a counter of lost records.
#[derive(Debug, Default)]
struct LostCounter(u64);

impl Rings {
    /// Reads the rings of `layout`, which are empty.
    pub(crate) fn new(layout: Layout) -> Self {
        let rings = 0..layout.geometry().ring_count;
        Self {
            readers: rings.map(|_| RingReader::default()).collect(),
            layout,
            ringless_lost: LostCounter::default(),
            drained: Instant::now(),
        }
    }

    /// Accounts of the vCPUs that did anything, of which so many windows are in use.
    pub(crate) fn accounts(&self, windows: usize) -> Vec<VcpuAccount> {
        let rings = 0..self.layout.geometry().ring_count;
        let accounts = rings.map(|index| {
            // SAFETY: the pointer is into the layout's mapping, which outlives this call.
            let words: &AccountWords = unsafe { self.layout.account(index).as_ref() };
            words.read(index, windows)
        });
        accounts.filter(|account| !account.is_empty()).collect()
    }

    /// Gives what waits in the rings that were ever written to to `consume`, through `batch`.
    pub(crate) fn drain(
        &mut self,
        batch: &mut Vec<Access<Hpa>>,
        report: &mut DrainReport,
        consume: &mut impl FnMut(&[Access<Hpa>]),
    ) {
        let now = Instant::now();
        let since = now.saturating_duration_since(self.drained);
        let plausible = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        self.drained = now;
        let ringless_lost = &self.layout.header().ringless_lost.0;
        self.ringless_lost.count(ringless_lost, plausible, report);
        for (index, readers) in (0_u32..).zip(self.readers.chunks_mut(u64::BITS as usize)) {
            let active = self.layout.header().producer.0.active.get(index as usize);
            // The rings whose bits are set, as far as there are rings. A producer that sets too
            // many only has them looked at.
            let mut bits = active.map_or(0, |bits| bits.load(Ordering::Acquire));
            while let Some(reader) = readers.get_mut(bits.trailing_zeros() as usize) {
                let ring = index
                    .saturating_mul(u64::BITS)
                    .saturating_add(bits.trailing_zeros());
                reader.drain(&self.layout, ring, plausible, batch, report, consume);
                bits &= bits.wrapping_sub(1);
            }
        }
    }
}

impl RingReader {
    fn drain(
        &mut self,
        layout: &Layout,
        index: u32,
        plausible: u64,
        batch: &mut Vec<Access<Hpa>>,
        report: &mut DrainReport,
        consume: &mut impl FnMut(&[Access<Hpa>]),
    ) {
        // SAFETY: the pointer is into the layout's mapping, which outlives this call.
        let control: &RingControl = unsafe { layout.control(index).as_ref() };
        // SAFETY: as above, and the entries do not overlap the control block.
        let entries: &[AtomicU64] = unsafe { layout.entries(index).as_ref() };
        self.lost.count(&control.producer.0.lost, plausible, report);
        let mut left = self.waiting(control, entries.len(), report);
        while left > 0 {
            let waiting = self.run(entries, left.min(BATCH_RECORDS));
            left = left.saturating_sub(waiting.len());
            self.consumed = self.consumed.wrapping_add(waiting.len() as u64);
            let damaged = copy(waiting, batch);
            control.consumed.0.store(self.consumed, Ordering::Release);
            consume(batch);
            report.records = report.records.saturating_add(batch.len() as u64);
            report.corrupt = report.corrupt.saturating_add(damaged);
        }
    }

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

    /// The next entries, `count` at most and 1 at least: less than `count` where the ring wraps.
    /// The entries are a power of two, so the mask keeps the index inside.
    fn run<'a>(&self, entries: &'a [AtomicU64], count: usize) -> &'a [AtomicU64] {
        let mask = entries.len().wrapping_sub(1);
        // Only the low bits count, so a narrower usize would do as well.
        #[allow(clippy::cast_possible_truncation)]
        let place = self.consumed as usize & mask;
        let run = entries.get(place..).unwrap_or_default();
        run.get(..count).unwrap_or(run)
    }
}

/// Copies entries to `batch`, each read once, since its producer may change it at any time.
/// Returns how many were no records; those are left out.
fn copy(entries: &[AtomicU64], batch: &mut Vec<Access<Hpa>>) -> u64 {
    let mut bits = 0;
    batch.clear();
    batch.extend(entries.iter().map(|entry| {
        let word = entry.load(Ordering::Relaxed);
        bits |= word;
        Access::from_word(word)
    }));
    if bits & RESERVED_BITS == 0 {
        return 0;
    }
    batch.retain(|record| record.word() & RESERVED_BITS == 0);
    entries.len().saturating_sub(batch.len()) as u64
}

impl LostCounter {
    /// Reports by how much the counter rose; a rise beyond what is plausible is not believed.
    fn count(&mut self, counter: &AtomicU64, plausible: u64, report: &mut DrainReport) {
        let lost = counter.load(Ordering::Relaxed);
        let more = lost.wrapping_sub(self.0);
        self.0 = lost;
        if more <= plausible {
            report.lost = report.lost.saturating_add(more);
        } else {
            report.corrupt = report.corrupt.saturating_add(1);
        }
    }
}
