// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Enable, disable and reset, each of which takes its time.

use chmu_spec::chmu;

use crate::event::{Event, Refusal};
use crate::host::Host;
use crate::quirk::Quirk;
use crate::statistics::count;

use super::Instance;
use super::counting::Counting;
use super::rules::Rules;
use super::settings::Settings;

/// What happens when an operation is complete.
#[derive(Debug)]
enum Outcome {
    Enable(Settings, Box<Counting>),
    Disable,
    Reset,
}

/// An operation in progress.
#[derive(Debug)]
pub(super) struct Operation {
    outcome: Outcome,
    done_ns: u64,
}

impl Operation {
    /// The code in the status register.
    fn code(&self, quirk: Option<Quirk>) -> u16 {
        let swapped = quirk == Some(Quirk::OperationCodesSwapped);
        let operation = match self.outcome {
            Outcome::Enable(..) if swapped => chmu::Operation::Disable,
            Outcome::Disable if swapped => chmu::Operation::Enable,
            Outcome::Enable(..) => chmu::Operation::Enable,
            Outcome::Disable => chmu::Operation::Disable,
            Outcome::Reset => chmu::Operation::Reset,
        };
        operation.code()
    }
}

impl Instance {
    /// Whether an enable operation is in progress.
    pub(crate) fn is_being_enabled(&self) -> bool {
        let outcome = self.operation.as_ref().map(|operation| &operation.outcome);
        matches!(outcome, Some(Outcome::Enable(..)))
    }

    /// The code of the operation in progress as the status shows it; 0 for none.
    pub(super) fn operation_code(&self) -> u16 {
        match &self.operation {
            Some(operation) => operation.code(self.quirk),
            None if self.has(Quirk::InProgressNeverClears) && self.is_enabled() => {
                chmu::Operation::Enable.code()
            }
            None => 0,
        }
    }

    /// When the operation in progress is complete. An enable is not while the source of accesses
    /// is not ready: nobody knows when it will be.
    pub(super) fn operation_done_ns(&self) -> Option<u64> {
        let waits = self.is_being_enabled() && !self.source_ready;
        let operation = self.operation.as_ref().filter(|_| !waits);
        operation.map(|operation| operation.done_ns)
    }

    /// Takes note of whether the source of accesses reports all of them.
    pub(crate) fn set_source_ready(&mut self, now_ns: u64, ready: bool, host: &mut impl Host) {
        let becomes_ready = ready && !self.source_ready;
        if becomes_ready
            && self.is_being_enabled()
            && let Some(operation) = &mut self.operation
        {
            operation.done_ns = operation.done_ns.max(now_ns);
        }
        self.source_ready = ready;
        self.advance(now_ns, host);
    }

    /// Begins to enable the instance, unless its configuration is refused.
    pub(super) fn enable(&mut self, now_ns: u64, range_is_taken: bool, host: &mut impl Host) {
        match self.prepare(range_is_taken) {
            Ok(outcome) => self.begin(now_ns, outcome, host),
            Err(refusal) => {
                let sticks = self.has(Quirk::RefusedEnableBitSticks);
                self.registers.configuration_0.set_enable(sticks);
                count(&mut self.statistics.enables_refused);
                host.event(Event::Refused {
                    instance: self.place.number,
                    refusal,
                });
            }
        }
    }

    /// An enable by the configuration, with the memory that it takes.
    fn prepare(&self, range_is_taken: bool) -> Result<Outcome, Refusal> {
        let settings = Settings::check(
            &self.capabilities,
            self.registers.configuration_0,
            self.registers.configuration_1,
            self.quirk,
        )?;
        if range_is_taken {
            return Err(Refusal::OverlappingRange);
        }
        let mut rules = Rules::new(
            &settings,
            &self.capabilities,
            &self.ranges,
            self.capacity_bytes,
        );
        if let Some(quirk) = self.quirk {
            rules = rules.broken(quirk, &settings, self.capabilities.seed);
        }
        let units = rules.units();
        let counting = Counting::new(rules).map_err(|_| Refusal::Memory { units })?;
        Ok(Outcome::Enable(settings, Box::new(counting)))
    }

    /// Begins to disable the instance.
    pub(super) fn disable(&mut self, now_ns: u64, host: &mut impl Host) {
        self.begin(now_ns, Outcome::Disable, host);
    }

    /// Resets the instance: it is disabled and empty at once, and busy until the operation's
    /// time has passed. Any other operation is given up.
    pub(super) fn reset(&mut self, now_ns: u64, host: &mut impl Host) {
        if !self.has(Quirk::ResetKeepsEnabled) {
            self.registers.configuration_0.set_enable(false);
            self.drop_counters(Quirk::ResetKeepsCounters);
        }
        if !self.has(Quirk::ResetKeepsStatus) {
            self.registers.overflow = false;
            self.registers.fill_level = false;
        }
        if !self.has(Quirk::ResetKeepsList) {
            self.hotlist.clear();
        }
        if self.has(Quirk::ResetLosesConfiguration) {
            self.registers.clear_configuration();
        }
        if self.has(Quirk::ResetLosesRanges) {
            self.ranges.clear();
        }
        let sticks = self.has(Quirk::ResetBitSticks);
        self.registers.configuration_0.set_reset(sticks);
        host.event(Event::Reset {
            instance: self.place.number,
        });
        self.begin(now_ns, Outcome::Reset, host);
    }

    /// Stops counting; the counters are gone unless the quirk keeps them.
    fn drop_counters(&mut self, keeper: Quirk) {
        let counting = self.counting.take();
        if self.has(keeper) {
            self.memory.former = counting;
        }
    }

    fn begin(&mut self, now_ns: u64, outcome: Outcome, host: &mut impl Host) {
        let done_ns = now_ns.saturating_add(self.capabilities.operation_delay_ns);
        self.operation = Some(Operation { outcome, done_ns });
        if self.operation_done_ns().is_some_and(|done| done <= now_ns) {
            self.complete_operation(now_ns, host);
        }
    }

    /// Ends the operation in progress at `done_ns`.
    pub(super) fn complete_operation(&mut self, done_ns: u64, host: &mut impl Host) {
        let Some(operation) = self.operation.take() else {
            return;
        };
        let instance = self.place.number;
        match operation.outcome {
            Outcome::Enable(settings, counting) => {
                self.start_counting(*counting, done_ns);
                count(&mut self.statistics.enables);
                host.event(Event::Enabled {
                    instance,
                    unit_size: settings.unit_size,
                    threshold: u64::from(settings.threshold),
                    epoch: settings.epoch,
                });
            }
            Outcome::Disable => {
                self.stop_counting();
                host.event(Event::Disabled { instance });
            }
            Outcome::Reset => {}
        }
    }

    fn start_counting(&mut self, mut counting: Counting, now_ns: u64) {
        counting.start(now_ns);
        if let Some(former) = self.memory.former.take() {
            counting.inherit(former);
        }
        self.counting = Some(counting);
        // What waits is encoded for the former unit size and counter width.
        self.hotlist.clear_backlog();
        if self.has(Quirk::EnableEmptiesList) {
            self.hotlist.clear();
        }
    }

    fn stop_counting(&mut self) {
        if !self.has(Quirk::DisableKeepsCounting) {
            self.drop_counters(Quirk::DisableKeepsCounters);
        }
        if self.has(Quirk::DisableEmptiesList) {
            self.hotlist.clear();
        }
        if self.has(Quirk::DisableLosesConfiguration) {
            self.registers.clear_configuration();
        }
    }
}
