// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device that the server serves: the function, its time, its accesses and its outside.

mod backend;
mod wakeup;

use std::collections::BTreeMap;
use std::num::Saturating;
use std::time::Duration;

use anyhow::Context;
use chmu_cxl::{Condition, Function, FunctionConfig, Interrupts, MediaEvent};
use chmu_model::Quirk;
use chmu_spec::access::Access;
use chmu_spec::address::Hpa;

pub(crate) use wakeup::Wakeup;

use crate::clock::Clock;
use crate::feed::{AccessFeed, FeedStatistics};
use crate::oracle::{Oracle, OracleState};
use crate::outside::Outside;
use crate::register_trace::RegisterTrace;
use crate::server::Region;
use crate::statistics::{ClientStatistics, InterruptStatistics, MessageCount, Statistics};

/// How long reported accesses may wait in the rings while the doorbell is silent.
const POLL_PERIOD: Duration = Duration::from_millis(1);

/// The device.
///
/// Whatever looks at it first counts the accesses that were made before, and closes the epochs
/// that ended before: what a driver reads never lags behind what it did.
#[derive(Debug)]
pub(crate) struct Device {
    function: Function,
    interrupts: Interrupts,
    serial_number: u64,
    memory_bytes: u64,
    outside: Outside,
    regions: Vec<Region>,
    clock: Clock,
    feed: Option<AccessFeed>,
    oracle: Oracle,
    clients: ClientStatistics,
    /// By the name of the command: clients can send any number of unknown ones.
    messages: BTreeMap<&'static str, MessageCount>,
    trace: Option<RegisterTrace>,
    /// Reading some registers changes what this device, which breaks a rule, holds in them.
    reads_change: bool,
}

impl Device {
    /// A device after power-on.
    ///
    /// # Errors
    /// For a configuration that no function can have, and when the kernel refuses memory.
    pub(crate) fn new(config: &FunctionConfig, clock: Clock) -> anyhow::Result<Self> {
        let function = Function::new(config)?;
        for (block, caution) in function.cautions() {
            log::warn!("CHMU {block}: {caution}");
        }
        let outside = Outside::new(function.bars(), config.interrupts.vectors())?;
        let regions = backend::regions(&function, &outside);
        Ok(Self {
            function,
            interrupts: config.interrupts,
            serial_number: config.serial_number,
            memory_bytes: config.capacity_bytes,
            outside,
            regions,
            clock,
            feed: None,
            oracle: Oracle::default(),
            clients: ClientStatistics::default(),
            messages: BTreeMap::new(),
            trace: None,
            reads_change: config.quirks.has(Quirk::StatusClearsOnRead),
        })
    }

    /// Has the traffic of registers written down.
    pub(crate) fn start_trace(&mut self, trace: RegisterTrace) {
        self.outside.take_notes();
        self.trace = Some(trace);
    }

    /// Gives the device so many rings that a producer of accesses can attach to.
    ///
    /// # Errors
    /// When there cannot be as many rings, or the device decodes no memory.
    pub(crate) fn add_feed(&mut self, rings: u32) -> anyhow::Result<()> {
        let feed = AccessFeed::new(rings, &self.function.windows())
            .context("The feed of accesses cannot be made")?;
        self.feed = Some(feed);
        Ok(())
    }

    /// The rings, if the device has them.
    pub(crate) fn feed(&mut self) -> Option<&mut AccessFeed> {
        self.feed.as_mut()
    }

    /// Counts the accesses that were made and lets the time pass that has passed; returns the time
    /// up to which both is done.
    ///
    /// An access that is found after the end of an epoch counts for that epoch: it was made
    /// before the rings were looked at, and most likely before the end.
    pub(crate) fn catch_up(&mut self) -> u64 {
        let looked_at_ns = self.clock.now_ns();
        let mut found_accesses = false;
        if let Some(feed) = &mut self.feed {
            let deadline_ns = self.function.next_deadline_ns();
            let before_deadline_ns = deadline_ns.map_or(u64::MAX, |at| at.saturating_sub(1));
            let count_at_ns = looked_at_ns.min(before_deadline_ns);
            let (function, outside, clock) =
                (&mut self.function, &mut self.outside, &mut self.clock);
            let oracle = &mut self.oracle;
            let is_observed = oracle.is_counting();
            found_accesses = feed.drain(|accesses| {
                if is_observed {
                    oracle.count(accesses, |address| function.decodes(address));
                    if !function.wants_accesses() {
                        return;
                    }
                }
                if clock.counts_accesses() {
                    count_one_by_one(function, outside, clock, accesses);
                } else {
                    function.access(count_at_ns, accesses, outside);
                }
            });
        }
        // An epoch that ended while the rings were emptied may have accesses in them.
        let now_ns = if self.clock.counts_accesses() {
            self.clock.now_ns()
        } else {
            looked_at_ns
        };
        let merged_before = self.outside.epochs_merged;
        self.function.advance(now_ns, &mut self.outside);
        let Saturating(merged) = self.outside.epochs_merged - merged_before;
        if found_accesses
            && merged > 0
            && let Some(feed) = &mut self.feed
        {
            feed.note_late_epochs(merged);
        }
        self.arm();
        self.trace_notes(now_ns);
        now_ns
    }

    /// Writes down what the function did since the last call.
    fn trace_notes(&mut self, now_ns: u64) {
        if let Some(trace) = &mut self.trace {
            trace.notes(now_ns, self.outside.noted());
        }
    }

    /// Lets time pass on a manual clock, after the accesses that were made before; returns the
    /// time after it.
    pub(crate) fn pass_time(&mut self, nanoseconds: u64) -> u64 {
        self.catch_up();
        self.clock.advance(nanoseconds);
        self.catch_up()
    }

    /// Bytes of the device's memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Lets the memory fail; returns whether the event log had room for it.
    pub(crate) fn inject_event(&mut self, event: &MediaEvent) -> bool {
        let now_ns = self.catch_up();
        self.function.inject_event(now_ns, event, &mut self.outside)
    }

    /// The device gets warmer, colder or older.
    pub(crate) fn set_condition(&mut self, condition: Condition) {
        let now_ns = self.catch_up();
        self.function
            .set_condition(now_ns, condition, &mut self.outside);
    }

    /// How long the device may be left alone; none when only events matter.
    pub(crate) fn next_wakeup(&self) -> Option<Duration> {
        let deadline_ns = self
            .function
            .next_deadline_ns()
            .filter(|_| self.clock.runs());
        let to_deadline = deadline_ns
            .map(|deadline| Duration::from_nanos(deadline.saturating_sub(self.clock.now_ns())));
        let polls = self.feed.as_ref().is_some_and(AccessFeed::needs_polling);
        let to_poll = polls.then_some(POLL_PERIOD);
        to_deadline.into_iter().chain(to_poll).min()
    }

    /// What the device has done so far.
    pub(crate) fn statistics(&mut self) -> Statistics {
        let now_ns = self.catch_up();
        Statistics {
            version: env!("CARGO_PKG_VERSION"),
            serial_number: self.serial_number,
            time_ns: now_ns,
            clients: self.clients,
            messages: self.messages.clone(),
            interrupts: InterruptStatistics {
                sent: self.outside.vectors.sent(),
                unconnected: self.outside.vectors.unconnected(),
            },
            feed: self.feed.as_mut().map(AccessFeed::statistics),
            function: self.function.statistics(),
        }
    }

    /// Exact counts of accesses.
    pub(crate) fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Has every access from now on counted, by page, apart from the monitors; whatever waits in the
    /// rings was made before.
    pub(crate) fn mark_oracle(&mut self) {
        self.catch_up();
        let feed = self.feed_statistics();
        self.oracle.mark(self.function.windows(), feed);
        self.arm();
    }

    /// Ends that.
    pub(crate) fn stop_oracle(&mut self) {
        self.catch_up();
        self.oracle.stop();
        self.arm();
    }

    /// What the exact counts lack.
    pub(crate) fn oracle_state(&mut self) -> OracleState {
        let now_ns = self.catch_up();
        let feed = self.feed_statistics();
        self.oracle.state(now_ns, feed)
    }

    fn feed_statistics(&mut self) -> FeedStatistics {
        let feed = self.feed.as_mut();
        feed.map_or_else(FeedStatistics::default, AccessFeed::statistics)
    }

    /// Tells the producer whether accesses matter, and the function whether all are reported. They
    /// matter from the write on that enables an instance; the enable is in progress until the
    /// producer acts on it. Waiting for it here would stop the processor that the producer needs
    /// to act.
    fn arm(&mut self) {
        if let Some(feed) = &mut self.feed {
            feed.set_armed(self.function.wants_accesses() || self.oracle.is_counting());
            self.oracle.note_reporting(feed.is_reporting());
            let ready = feed.is_ready(self.clock.waiting_ns());
            let now_ns = self.clock.now_ns();
            self.function
                .set_source_ready(now_ns, ready, &mut self.outside);
        }
    }
}

/// Counts accesses with the time moving on by each of them.
fn count_one_by_one(
    function: &mut Function,
    outside: &mut Outside,
    clock: &mut Clock,
    accesses: &[Access<Hpa>],
) {
    for access in accesses {
        function.access(clock.now_ns(), std::slice::from_ref(access), outside);
        function.advance(clock.count_access(), outside);
    }
}

#[cfg(test)]
mod tests;
