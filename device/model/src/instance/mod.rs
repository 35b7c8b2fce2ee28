// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One instance: registers, operations, counting and hotlist.

mod advertised;
mod check;
mod counting;
mod hotlist;
mod operation;
mod registers;
mod report;
mod status;
mod switch;

use chmu_spec::access::Access;
use chmu_spec::address::Dpa;

use crate::behaviour::Behaviour;
use crate::capabilities::Capabilities;
use crate::event::Event;
use crate::host::Host;
use crate::place::Place;
use crate::statistics::InstanceStatistics;
use crate::tracker::{Hottest, KEPT_UNITS, RangeBitmap};

use advertised::Advertised;
use counting::Counting;
use hotlist::Hotlist;
use operation::Operations;
use registers::Registers;
use status::StatusLatches;

/// One instance of a block.
#[derive(Debug)]
pub(crate) struct Instance {
    place: Place,
    advertised: Advertised,
    capabilities: Capabilities,
    capacity_bytes: u64,
    registers: Registers,
    status: StatusLatches,
    ranges: RangeBitmap,
    hotlist: Hotlist,
    /// What a driver started and what is not complete.
    operations: Operations,
    /// The counters; none while disabled.
    counting: Option<Counting>,
    /// Counters that outlive a disable or a reset, where they do.
    former: Option<Counting>,
    /// Bits of a message number that the host has messages for.
    message_mask: u8,
    /// Units that are hot and not yet reported; empty between calls.
    hot: Hottest,
    /// An entry that the tail has passed and that is not stored yet: its offset and value.
    late_entry: Option<(u64, u64)>,
    statistics: InstanceStatistics,
    behaviour: Behaviour,
}

impl Instance {
    /// An instance after power-on.
    pub(crate) fn new(
        place: Place,
        capabilities: &Capabilities,
        capacity_bytes: u64,
        behaviour: Behaviour,
    ) -> Self {
        let mut real = capabilities.clone();
        for change in behaviour.capabilities.real.iter() {
            change(&mut real);
        }
        let mut instance = Self {
            place,
            advertised: Advertised::new(capabilities, place, &behaviour.capabilities),
            capacity_bytes,
            registers: Registers::power_on(behaviour.power_on),
            status: StatusLatches::new(behaviour.status, behaviour.power_on.overflow),
            ranges: RangeBitmap::new(capacity_bytes),
            hotlist: Hotlist::new(
                real.hotlist_entries,
                real.postponed_insertion,
                behaviour.hotlist,
            ),
            operations: Operations::new(real.operation_delay_ns),
            counting: None,
            message_mask: u8::MAX,
            former: None,
            hot: Hottest::default(),
            late_entry: None,
            statistics: InstanceStatistics::default(),
            capabilities: real,
            behaviour,
        };
        instance.clear_ranges();
        instance
    }

    /// The host grants the function so many messages, a power of two: message numbers wrap.
    pub(crate) fn grant_messages(&mut self, messages: u16) {
        self.message_mask = u8::try_from(messages.saturating_sub(1)).unwrap_or(u8::MAX);
    }

    /// Goes back to power-on; the statistics stay.
    pub(crate) fn power_on(&mut self) {
        let (former, behaviour) = (self.registers, self.behaviour.power_on);
        self.registers = Registers::power_on(behaviour);
        self.status = StatusLatches::new(self.behaviour.status, behaviour.overflow);
        if behaviour.keeps_configuration {
            self.registers = Registers {
                configuration_0: former.configuration_0.with_enable(false),
                ..former
            };
        }
        if behaviour.keeps_enabled {
            let enable = self.is_enabled();
            self.registers.configuration_0.set_enable(enable);
        } else {
            self.counting = None;
        }
        if !behaviour.keeps_ranges {
            self.clear_ranges();
        }
        if !behaviour.keeps_list {
            self.hotlist.clear();
        }
        self.operations.give_up();
        self.former = None;
        self.late_entry = None;
    }

    /// Puts the range bitmap into its power-on state.
    fn clear_ranges(&mut self) {
        if self.behaviour.power_on.ranges_set {
            self.ranges.fill();
        } else {
            self.ranges.clear();
        }
    }

    /// Its first byte, from the start of the block.
    pub(crate) fn start(&self) -> u64 {
        self.place.start
    }

    /// What it can do, whatever its registers say.
    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Whether it counts.
    pub(crate) fn is_enabled(&self) -> bool {
        self.counting.is_some()
    }

    /// Whether `other` counts, or is about to, in a range that this one would track too, and one
    /// of the two may not share.
    pub(crate) fn collides_with(&self, other: &Self) -> bool {
        let may_share =
            self.capabilities.overlapping_ranges && other.capabilities.overlapping_ranges;
        let other_counts = other.is_enabled() || other.is_being_enabled();
        !may_share && other_counts && self.ranges.overlaps(&other.ranges)
    }

    /// Counts accesses that arrived at `now_ns`, which no deadline has passed.
    pub(crate) fn access(&mut self, now_ns: u64, accesses: &[Access<Dpa>], host: &mut impl Host) {
        // No more at a time than can be hot at once.
        for accesses in accesses.chunks(KEPT_UNITS) {
            let Some(counting) = &mut self.counting else {
                return;
            };
            if counting.count(now_ns, accesses, &mut self.statistics, &mut self.hot) {
                host.event(Event::OutOfCounters {
                    instance: self.place.number,
                });
            }
            if !self.hot.is_empty() {
                self.report(host);
            }
        }
    }

    /// Completes what is due at `now_ns`, in the order in which it is due.
    pub(crate) fn advance(&mut self, now_ns: u64, host: &mut impl Host) {
        if let Some(done_ns) = self.operations.done_ns().filter(|done| *done <= now_ns) {
            self.end_epochs(done_ns, host);
        }
        if let Some((done_ns, outcome)) = self.operations.complete(now_ns) {
            self.follow(done_ns, outcome, host);
        }
        self.end_epochs(now_ns, host);
    }

    /// When it has something to do; `u64::MAX` when it has nothing.
    pub(crate) fn deadline_ns(&self) -> u64 {
        let operation = self.operations.done_ns().unwrap_or(u64::MAX);
        let epoch = self
            .counting
            .as_ref()
            .map_or(u64::MAX, Counting::deadline_ns);
        operation.min(epoch)
    }

    pub(crate) fn statistics(&self) -> InstanceStatistics {
        self.statistics
    }
}
