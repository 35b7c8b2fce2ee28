// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The accesses that a producer reports: the rings, and what became of their records.

use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use chmu_ring::{Feed, FeedConfig, Window};
use chmu_spec::access::Access;
use chmu_spec::address::{Hpa, HpaRange};

use crate::accounts::Accounts;
use crate::rate_limit::RateLimit;

/// How long an enable waits for the producer: less than the 100 ms that drivers wait, so that a
/// producer that does not answer fails none.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_millis(80);

/// What came through the rings since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct FeedStatistics {
    /// A producer is attached.
    pub(crate) producer_attached: bool,
    /// The producer is asked to report accesses.
    pub(crate) armed: bool,
    /// The attached producer does what it is asked to. Until it does, accesses go unreported.
    pub(crate) acknowledged: bool,
    /// Producers so far.
    pub(crate) producers: u64,
    /// Accesses that were taken from the rings.
    pub(crate) records: u64,
    /// vCPUs of the attached producer that have no ring; all of their accesses are lost.
    pub(crate) vcpus_without_ring: u32,
    /// Accesses that the producer dropped because a ring stayed full, or a vCPU has none.
    pub(crate) lost: u64,
    /// Signs of a broken producer: words that are no record, and impossible ring indices.
    pub(crate) corrupt: u64,
    /// Epochs whose accesses were counted as an earlier epoch's, because the device looked at the
    /// rings too late to tell them apart.
    pub(crate) epochs_late: u64,
    /// What the vCPUs of the attached producer did to memory, or those of the last one, as it says:
    /// whether or not each access came through the rings.
    pub(crate) accounts: Accounts,
}

/// A producer that has not answered yet.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at_ns: u64,
    /// Nobody waits for the answer any more.
    given_up: bool,
}

/// The device's end of the rings.
#[derive(Debug)]
pub(crate) struct AccessFeed {
    feed: Feed,
    windows: Vec<Window>,
    statistics: FeedStatistics,
    losses: RateLimit,
    silences: RateLimit,
    delays: RateLimit,
    /// Since when the producer has owed an answer to what it was asked last.
    asked: Option<Asked>,
}

impl AccessFeed {
    /// `rings` rings for the accesses to `windows`.
    ///
    /// # Errors
    /// When there are no rings, no windows, or too many.
    pub(crate) fn new(rings: u32, windows: &[HpaRange]) -> Result<Self, chmu_ring::Error> {
        let windows: Vec<_> = windows
            .iter()
            .map(|window| Window {
                base: window.start.0,
                size: window.bytes,
            })
            .collect();
        Ok(Self {
            feed: Feed::create(&FeedConfig::new(rings, windows.clone()))?,
            windows,
            statistics: FeedStatistics::default(),
            losses: RateLimit::default(),
            silences: RateLimit::default(),
            delays: RateLimit::default(),
            asked: None,
        })
    }

    /// The descriptor that becomes readable when the producer rings or is gone.
    pub(crate) fn producer_socket(&self) -> Option<RawFd> {
        self.feed.producer_socket().map(|socket| socket.as_raw_fd())
    }

    /// Takes note of the producer's rings; returns whether it is still there.
    pub(crate) fn hear(&self) -> bool {
        self.feed.hear()
    }

    /// Lets the producer go, and closes its socket. What it wrote before can still be drained.
    pub(crate) fn detach(&mut self) {
        self.feed.detach();
    }

    /// Attaches the process at the other end of `stream` as the producer.
    ///
    /// # Errors
    /// While another one is attached, or when the rings cannot be handed over.
    pub(crate) fn hand_over(&mut self, stream: UnixStream) -> Result<(), chmu_ring::Error> {
        self.feed.hand_over(stream)?;
        self.asked = None;
        self.statistics.producers = self.statistics.producers.saturating_add(1);
        Ok(())
    }

    /// Asks the producer to report accesses, or to stop.
    pub(crate) fn set_armed(&mut self, armed: bool) {
        self.feed.set_armed(armed);
    }

    /// Whether nothing is missed from now on: the producer reports accesses, or there is none, or
    /// it has not answered for [`ANSWER_TIMEOUT`]. `now_ns` is any time that does not go back.
    pub(crate) fn is_ready(&mut self, now_ns: u64) -> bool {
        let attached = self.feed.producer_socket().is_some();
        if !attached || !self.feed.armed() || self.feed.acknowledged() {
            self.asked = None;
            // What it may have acknowledged while disarmed is that it reports nothing.
            return !attached || self.feed.armed();
        }
        let asked = self.asked.get_or_insert(Asked {
            at_ns: now_ns,
            given_up: false,
        });
        let waited = Duration::from_nanos(now_ns.saturating_sub(asked.at_ns));
        if waited >= ANSWER_TIMEOUT && !asked.given_up {
            asked.given_up = true;
            if let Some(suppressed) = self.silences.permit() {
                log::warn!(
                    "The producer of accesses has not answered within {ANSWER_TIMEOUT:?}; until \
                     it does, accesses may go uncounted{suppressed}"
                );
            }
        }
        asked.given_up
    }

    /// Whether a producer reports all accesses by now.
    pub(crate) fn is_reporting(&self) -> bool {
        self.feed.armed() && self.feed.acknowledged()
    }

    /// Whether accesses may arrive without the doorbell: it stays silent until a ring is a
    /// quarter full.
    pub(crate) fn needs_polling(&self) -> bool {
        self.feed.armed() && self.feed.producer_socket().is_some()
    }

    /// Gives everything that waits in the rings to `consume`, in batches, and returns whether that
    /// was anything. Records that are written meanwhile may stay.
    pub(crate) fn drain(&mut self, consume: impl FnMut(&[Access<Hpa>])) -> bool {
        let report = self.feed.drain(consume);
        let statistics = &mut self.statistics;
        statistics.records = statistics.records.saturating_add(report.records);
        statistics.lost = statistics.lost.saturating_add(report.lost);
        statistics.corrupt = statistics.corrupt.saturating_add(report.corrupt);
        if (report.lost > 0 || report.corrupt > 0)
            && let Some(suppressed) = self.losses.permit()
        {
            log::warn!(
                "The producer of accesses lost {} of them and wrote {} damaged ones{suppressed}",
                report.lost,
                report.corrupt
            );
        }
        report.records > 0
    }

    /// Takes note that the accesses of so many epochs were counted as an earlier epoch's.
    pub(crate) fn note_late_epochs(&mut self, epochs: u64) {
        let statistics = &mut self.statistics;
        statistics.epochs_late = statistics.epochs_late.saturating_add(epochs);
        if let Some(suppressed) = self.delays.permit() {
            log::warn!(
                "The device is late: accesses count for an earlier epoch than they were made in; \
                 epochs without their own: {epochs}{suppressed}"
            );
        }
    }

    /// What came through the rings, and their state now.
    pub(crate) fn statistics(&mut self) -> FeedStatistics {
        FeedStatistics {
            producer_attached: self.feed.producer_socket().is_some(),
            armed: self.feed.armed(),
            acknowledged: self.feed.acknowledged(),
            vcpus_without_ring: self.feed.ringless_vcpus(),
            accounts: Accounts::new(&self.windows, &self.feed.accounts()),
            ..self.statistics.clone()
        }
    }
}
