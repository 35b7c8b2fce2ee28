// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One instance: registers, operations, counting and hotlist.

mod broken;
mod counting;
mod hotlist;
mod operation;
mod registers;
mod report;
mod rules;
mod settings;

use crate::capabilities::Capabilities;
use crate::config::BlockConfig;
use crate::event::Event;
use crate::host::{Access, Host};
use crate::quirk::Quirk;
use crate::statistics::InstanceStatistics;
use crate::tracker::{Hottest, KEPT_UNITS, RangeBitmap};

use broken::{Advertised, real_capabilities};
use counting::Counting;
use hotlist::Hotlist;
use operation::Operation;
use registers::Registers;

/// Where an instance lies in its block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Its number.
    pub(crate) number: u8,
    /// Its first byte, from the start of the block.
    pub(crate) start: u64,
    /// The first byte of its range bitmap, from its own start.
    pub(crate) range_bitmap: u64,
    /// The first byte of its hotlist, from the start of the block.
    pub(crate) hotlist: u64,
}

/// One instance of a block.
#[derive(Debug)]
pub(crate) struct Instance {
    place: Place,
    advertised: Advertised,
    capabilities: Capabilities,
    capacity_bytes: u64,
    registers: Registers,
    ranges: RangeBitmap,
    hotlist: Hotlist,
    /// What a driver started and what is not complete.
    operation: Option<Operation>,
    /// Whether the source of accesses reports all of them.
    source_ready: bool,
    /// The counters; none while disabled.
    counting: Option<Counting>,
    /// Units that are hot and not yet reported; empty between calls.
    hot: Hottest,
    statistics: InstanceStatistics,
    /// The rule that it breaks.
    quirk: Option<Quirk>,
    /// What only quirks need to remember.
    memory: Memory,
}

/// What only quirks need to remember.
#[derive(Debug, Default)]
struct Memory {
    /// Counters from before a disable or reset that should have dropped them.
    former: Option<Counting>,
    /// An entry that the tail has passed and that is not stored: its offset and value.
    late_entry: Option<(u64, u64)>,
    /// The fill-level bit was set.
    fill_level_rose: bool,
    /// The next rise of a status bit sends no interrupt.
    muted: bool,
}

impl Instance {
    /// An instance after power-on.
    pub(crate) fn new(place: Place, capabilities: Capabilities, config: &BlockConfig) -> Self {
        let quirk = config.quirk;
        let advertised = Advertised::new(&capabilities, place, quirk);
        let capabilities = real_capabilities(capabilities, quirk);
        let mut instance = Self {
            registers: Registers::power_on(quirk),
            ranges: RangeBitmap::new(config.capacity_bytes),
            hotlist: Hotlist::new(
                capabilities.hotlist_entries,
                capabilities.postponed_insertion,
                quirk,
            ),
            operation: None,
            source_ready: true,
            counting: None,
            hot: Hottest::default(),
            statistics: InstanceStatistics::default(),
            place,
            advertised,
            capabilities,
            capacity_bytes: config.capacity_bytes,
            quirk,
            memory: Memory::default(),
        };
        instance.clear_ranges();
        instance
    }

    /// Goes back to power-on; the statistics stay.
    pub(crate) fn power_on(&mut self) {
        let former = self.registers;
        self.registers = Registers::power_on(self.quirk);
        if self.has(Quirk::FunctionResetKeepsConfiguration) {
            self.registers.configuration_0 = former.configuration_0.with_enable(false);
            self.registers.configuration_1 = former.configuration_1;
            self.registers.configuration_2 = former.configuration_2;
        }
        if self.has(Quirk::FunctionResetKeepsEnabled) {
            let enable = self.is_enabled();
            self.registers.configuration_0.set_enable(enable);
        } else {
            self.counting = None;
        }
        if !self.has(Quirk::FunctionResetKeepsRanges) {
            self.clear_ranges();
        }
        if !self.has(Quirk::FunctionResetKeepsList) {
            self.hotlist.clear();
        }
        self.operation = None;
        self.memory = Memory::default();
    }

    /// Puts the range bitmap into its power-on state.
    fn clear_ranges(&mut self) {
        if self.has(Quirk::PowerOnRangesSet) {
            self.ranges.fill();
        } else {
            self.ranges.clear();
        }
    }

    /// Whether it breaks the rule that `quirk` stands for.
    fn has(&self, quirk: Quirk) -> bool {
        self.quirk == Some(quirk)
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
    pub(crate) fn access(&mut self, now_ns: u64, accesses: &[Access], host: &mut impl Host) {
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
        if let Some(done_ns) = self.operation_done_ns().filter(|done| *done <= now_ns) {
            self.end_epochs(done_ns, host);
            self.complete_operation(done_ns, host);
        }
        self.end_epochs(now_ns, host);
    }

    /// When it has something to do; `u64::MAX` when it has nothing.
    pub(crate) fn deadline_ns(&self) -> u64 {
        let operation = self.operation_done_ns().unwrap_or(u64::MAX);
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
