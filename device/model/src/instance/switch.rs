// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Enable, disable and reset: what they do to an instance.

use crate::event::{Event, Refusal};
use crate::host::Host;
use crate::rules::Rules;
use crate::settings::Settings;
use crate::statistics::count;

use super::Instance;
use super::counting::Counting;
use super::operation::Outcome;

impl Instance {
    /// Whether an enable operation is in progress.
    pub(crate) fn is_being_enabled(&self) -> bool {
        self.operations.is_enabling()
    }

    /// The code of the operation in progress as the status shows it; 0 for none.
    pub(super) fn operation_code(&self) -> u16 {
        let shown = self.behaviour.operations.shown;
        let operation = shown(self.operations.kind(), self.is_enabled());
        operation.map_or(0, chmu_spec::chmu::Operation::code)
    }

    /// Takes note of whether the source of accesses reports all of them.
    pub(crate) fn set_source_ready(&mut self, now_ns: u64, ready: bool, host: &mut impl Host) {
        self.operations.set_source_ready(now_ns, ready);
        self.advance(now_ns, host);
    }

    /// Begins to enable the instance, unless its configuration is refused.
    pub(super) fn enable(&mut self, now_ns: u64, range_is_taken: bool, host: &mut impl Host) {
        match self.prepare(range_is_taken) {
            Ok(outcome) => self.begin(now_ns, outcome, host),
            Err(refusal) => {
                let sticks = self.behaviour.operations.refused_enable_sticks;
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
            self.behaviour.settings,
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
        for change in self.behaviour.counting.rules.iter() {
            change(&mut rules, &settings);
        }
        let units = rules.units();
        let counting = Counting::new(rules).map_err(|_| Refusal::Memory { units })?;
        Ok(Outcome::Enable(settings, Box::new(counting)))
    }

    /// Has the global epoch begin now, with what was counted in it.
    pub(super) fn restart_epoch(&mut self, now_ns: u64) {
        if let Some(counting) = &mut self.counting {
            counting.start(now_ns);
        }
    }

    /// Begins to disable the instance.
    pub(super) fn disable(&mut self, now_ns: u64, host: &mut impl Host) {
        self.begin(now_ns, Outcome::Disable, host);
    }

    /// Resets the instance: it is disabled and empty at once, and busy until the operation's
    /// time has passed. Any other operation is given up.
    pub(super) fn reset(&mut self, now_ns: u64, host: &mut impl Host) {
        let behaviour = self.behaviour.operations;
        if !behaviour.reset_keeps_enabled {
            self.registers.configuration_0.set_enable(false);
            self.drop_counters(behaviour.reset_keeps_counters);
        }
        if !behaviour.reset_keeps_status {
            self.status.clear();
        }
        if !behaviour.reset_keeps_list {
            self.hotlist.clear();
        }
        if behaviour.reset_loses_configuration {
            self.registers.clear_configuration();
        }
        if behaviour.reset_loses_ranges {
            self.ranges.clear();
        }
        let sticks = behaviour.reset_bit_sticks;
        self.registers.configuration_0.set_reset(sticks);
        host.event(Event::Reset {
            instance: self.place.number,
        });
        self.begin(now_ns, Outcome::Reset, host);
    }

    /// Stops counting; the counters are gone unless they are kept for the next enable.
    fn drop_counters(&mut self, keep: bool) {
        let counting = self.counting.take();
        if keep {
            self.former = counting;
        }
    }

    fn begin(&mut self, now_ns: u64, outcome: Outcome, host: &mut impl Host) {
        self.operations.begin(now_ns, outcome);
        if let Some((done_ns, outcome)) = self.operations.complete(now_ns) {
            self.follow(done_ns, outcome, host);
        }
    }

    /// Does what an operation that was complete at `done_ns` leads to.
    pub(super) fn follow(&mut self, done_ns: u64, outcome: Outcome, host: &mut impl Host) {
        let instance = self.place.number;
        match outcome {
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
        if let Some(former) = self.former.take() {
            counting.inherit(former);
        }
        self.counting = Some(counting);
        // What waits is encoded for the former unit size and counter width.
        self.hotlist.clear_backlog();
        if self.behaviour.operations.enable_empties_list {
            self.hotlist.clear();
        }
    }

    fn stop_counting(&mut self) {
        let behaviour = self.behaviour.operations;
        if !behaviour.disable_keeps_counting {
            self.drop_counters(behaviour.disable_keeps_counters);
        }
        if behaviour.disable_empties_list {
            self.hotlist.clear();
        }
        if behaviour.disable_loses_configuration {
            self.registers.clear_configuration();
        }
    }
}
