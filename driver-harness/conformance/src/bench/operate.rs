// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Enabling, disabling, resetting and draining an instance.

use std::time::Duration;

use chmu_driver::transport::Width;
use chmu_spec::chmu::{Configuration0, Configuration1, Status, offset};
use chmu_spec::hotlist::{ENTRY_BYTES, Entry, next_index};
use chmu_spec::unit_size::UnitSize;

use super::setup::{Ranges, Setup};
use super::traffic::PIECE_BYTES;
use super::{Bench, CROWDED_OUT, DRIVERS_WAIT};
use crate::outcome::{Findings, Stop, fail, skip};

/// The first step while an operation is waited for.
const OPERATION_STEP: Duration = Duration::from_micros(500);
/// The longest step while an operation is waited for.
const LONGEST_STEP: Duration = Duration::from_millis(5);

/// Entries of a list that are read one by one, as any register is; those of a longer one are taken from mapped pages
/// where the path has them.
const SHORT_LIST: u16 = 64;

/// What came of an enable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabled {
    /// The instance counts.
    Yes,
    /// It refused.
    Refused,
}

impl Bench<'_> {
    /// The status register.
    pub fn status(&self) -> Result<Status, Stop> {
        Ok(self.register(offset::STATUS)?.into())
    }

    /// The hotlist's head.
    pub fn head(&self) -> Result<u16, Stop> {
        let head = self.read(offset::HOTLIST_HEAD, Width::Two)?;
        Ok(u16::try_from(head).unwrap_or(u16::MAX))
    }

    /// The hotlist's tail.
    pub fn tail(&self) -> Result<u16, Stop> {
        let tail = self.read(offset::HOTLIST_TAIL, Width::Two)?;
        Ok(u16::try_from(tail).unwrap_or(u16::MAX))
    }

    /// Moves the head.
    pub fn set_head(&self, head: u16) -> Result<(), Stop> {
        self.write(offset::HOTLIST_HEAD, Width::Two, head.into())
    }

    /// Writes everything of a configuration but the enable bit.
    pub fn configure(&mut self, setup: &Setup) -> Result<(), Stop> {
        self.set_register(offset::CONFIGURATION_1, setup.configuration_1().into())?;
        self.set_register(offset::CONFIGURATION_2, setup.configuration_2().into())?;
        self.configure_ranges(&setup.ranges)?;
        self.set_register(offset::CONFIGURATION_0, setup.configuration_0(false).into())
    }

    fn configure_ranges(&mut self, ranges: &Ranges) -> Result<(), Stop> {
        let bits = self.range_bits()?;
        let words = bits.div_ceil(64);
        let place = self.ranges_place()?;
        let own = self.own_ranges()?;
        for index in 0..words {
            let used = (bits - index * 64).min(64);
            let word = match ranges {
                Ranges::All => (u64::MAX >> (64 - used)) & own.word(index),
                Ranges::Words(words) => {
                    let index = usize::try_from(index).unwrap_or(usize::MAX);
                    words.get(index).copied().unwrap_or(0)
                }
            };
            self.write_at(place.plus(index * 8), Width::Eight, word)?;
        }
        Ok(())
    }

    /// Configures and enables; says whether the instance took it.
    pub fn try_start(&mut self, setup: &Setup) -> Result<Enabled, Stop> {
        self.configure(setup)?;
        let before = self.now();
        self.set_register(offset::CONFIGURATION_0, setup.configuration_0(true).into())?;
        let (enabled, last_disabled) = self.await_enabled(before)?;
        if enabled == Enabled::Yes {
            self.count_epochs(setup, last_disabled)?;
        }
        Ok(enabled)
    }

    /// Waits until an enable that was written at `before` has ended: with the enabled status, or
    /// with the enable bit gone. Also says when the instance was last seen not to be enabled.
    pub fn await_enabled(&mut self, before: Duration) -> Result<(Enabled, Duration), Stop> {
        let mut last_disabled = before;
        let (began, wait) = (self.now(), self.wait());
        self.last_operation = Duration::ZERO;
        let mut step = OPERATION_STEP;
        loop {
            let now = self.now();
            let status = self.status()?;
            let lasted = now.saturating_sub(began);
            let is_over = lasted > wait;
            let is_done = status.operation_code() == 0 && status.enabled();
            if !is_done {
                self.last_operation = lasted;
            }
            if is_done || (status.enabled() && is_over) {
                self.never_settles |= is_over;
                return Ok((Enabled::Yes, last_disabled));
            }
            if !status.enabled() {
                last_disabled = now;
            }
            if status.operation_code() == 0 && !status.enabled() {
                let enable = Configuration0::from(self.register(offset::CONFIGURATION_0)?).enable();
                // It may have been enabled since the status was read.
                if (!enable && !self.status()?.enabled()) || is_over {
                    return Ok((Enabled::Refused, last_disabled));
                }
            } else if is_over {
                self.never_settles = true;
                return fail(
                    format!("operation in progress {wait:?} after an enable"),
                    status.operation_code().to_string(),
                    "0, with the enabled status",
                );
            }
            self.pass(step)?;
            step = longer(step);
        }
    }

    /// How long operations are waited for; less once one was waited for in vain.
    fn wait(&self) -> Duration {
        match self.never_settles {
            true => self.operation_wait.min(DRIVERS_WAIT),
            false => self.operation_wait,
        }
    }

    /// Configures and enables a configuration that the instance offers. An instance that refuses nothing but its
    /// shortest or its longest epoch is judged for that in a case of its own, and every other case is skipped.
    pub fn start(&mut self, setup: &Setup) -> Result<(), Stop> {
        match self.try_start(setup)? {
            Enabled::Yes => Ok(()),
            Enabled::Refused => match self.refused_limit(setup)? {
                Some(limit) => skip(format!(
                    "the instance refuses its {limit} epoch, which configuration/epoch-limits judges"
                )),
                None => refused(setup),
            },
        }
    }

    /// As [`Bench::start`], in a case that judges whether the configuration is accepted.
    pub fn must_start(&mut self, setup: &Setup) -> Result<(), Stop> {
        match self.try_start(setup)? {
            Enabled::Yes => Ok(()),
            Enabled::Refused => refused(setup),
        }
    }

    /// Disables the instance under test and waits for it.
    pub fn stop(&mut self) -> Result<(), Stop> {
        let configuration = Configuration0::from(self.register(offset::CONFIGURATION_0)?);
        let disabled = configuration.with_enable(false).with_reset(false);
        self.set_register(offset::CONFIGURATION_0, disabled.into())?;
        let status = self.settle_once("disable", |status| !status.enabled())?;
        self.forget_epochs();
        match status.enabled() {
            false => Ok(()),
            true => fail("enabled status after a disable", "1", "0"),
        }
    }

    /// As [`Bench::stop`], also where a case was ended in the middle of an operation: a disable that comes into one
    /// may be ignored.
    pub(crate) fn stop_whatever_runs(&mut self) -> Result<(), Stop> {
        if self.status()?.operation_code() != 0 {
            let configuration = Configuration0::from(self.register(offset::CONFIGURATION_0)?);
            let disabled = configuration.with_enable(false).with_reset(false);
            self.set_register(offset::CONFIGURATION_0, disabled.into())?;
            self.settle("an operation that a disable came into")?;
        }
        self.stop()
    }

    /// Resets the instance under test and waits for it.
    pub fn reset(&mut self) -> Result<(), Stop> {
        let configuration = Configuration0::from(self.register(offset::CONFIGURATION_0)?);
        let reset = configuration.with_enable(false).with_reset(true);
        self.set_register(offset::CONFIGURATION_0, reset.into())?;
        self.settle("reset")?;
        self.forget_epochs();
        Ok(())
    }

    /// Waits until no operation is in progress; returns the status then.
    pub fn settle(&mut self, operation: &str) -> Result<Status, Stop> {
        self.settle_once(operation, |_| true)
    }

    /// Waits until no operation is in progress and the status is right; returns the status then, or
    /// the last one when it does not become right.
    pub(crate) fn settle_once(
        &mut self,
        operation: &str,
        mut is_right: impl FnMut(Status) -> bool,
    ) -> Result<Status, Stop> {
        let (began, wait) = (self.now(), self.wait());
        let mut step = OPERATION_STEP;
        self.last_operation = Duration::ZERO;
        loop {
            let lasted = self.now().saturating_sub(began);
            let is_over = lasted > wait;
            let status = self.status()?;
            let is_done = status.operation_code() == 0;
            let is_right = is_right(status);
            if !is_done || !is_right {
                self.last_operation = lasted;
            }
            if is_done && (is_right || is_over) {
                self.never_settles |= is_over;
                return Ok(status);
            }
            if is_over {
                self.never_settles = true;
                return fail(
                    format!("operation in progress {wait:?} after {operation}"),
                    status.operation_code().to_string(),
                    "0",
                );
            }
            self.pass(step)?;
            step = longer(step);
        }
    }

    /// Takes all entries off the list of the instance under test; returns those of
    /// [`Bench::peek`].
    pub fn drain(&mut self) -> Result<Vec<Entry>, Stop> {
        let (entries, tail) = self.look()?;
        self.set_head(tail)?;
        self.only_touched(entries)
    }

    /// Reads the entries between head and tail and leaves them there. Where others access the
    /// memory, only those of units that the case touched.
    pub fn peek(&mut self) -> Result<Vec<Entry>, Stop> {
        let (entries, _) = self.look()?;
        self.only_touched(entries)
    }

    /// Reads all entries between head and tail, whoever touched the units.
    pub fn peek_all(&mut self) -> Result<Vec<Entry>, Stop> {
        Ok(self.look()?.0)
    }

    fn only_touched(&mut self, mut entries: Vec<Entry>) -> Result<Vec<Entry>, Stop> {
        if !self.is_exact() {
            let is_full = entries.len() >= self.room()?;
            let configuration = Configuration1::from(self.register(offset::CONFIGURATION_1)?);
            let bytes = configuration.unit_size().map_or(1, UnitSize::bytes);
            entries.retain(|entry| {
                let start = entry.unit.0.saturating_mul(bytes);
                let pieces = start / PIECE_BYTES..start.saturating_add(bytes).div_ceil(PIECE_BYTES);
                self.touched.range(pieces).next().is_some()
            });
            if is_full && entries.is_empty() {
                return skip(CROWDED_OUT);
            }
        }
        Ok(entries)
    }

    /// The entries between head and tail, and the tail.
    fn look(&mut self) -> Result<(Vec<Entry>, u16), Stop> {
        let size = self.capabilities_0()?.hotlist_entries();
        let (head, tail) = (self.head()?, self.tail()?);
        if head >= size || tail >= size {
            return fail(
                "hotlist head and tail",
                format!("{head} and {tail}"),
                format!("indices below {size}, the size of the list"),
            );
        }
        let width = self.status()?.counter_width();
        let words = self.words_of_list(head, tail, size)?;
        let entries = words.into_iter().map(|word| Entry::decode(word, width));
        Ok((entries.collect(), tail))
    }

    /// The words between two indices of a list of `size`, which both are smaller; few are read as registers are.
    pub(super) fn words_of_list(&self, head: u16, tail: u16, size: u16) -> Result<Vec<u64>, Stop> {
        let start = self.hotlist_place()?;
        let place = |index: u16| start.plus(u64::from(index) * ENTRY_BYTES);
        let count = chmu_spec::hotlist::occupancy(head, tail, size);
        let mut words = vec![0; usize::from(count)];
        if count <= SHORT_LIST {
            let mut index = head;
            for word in &mut words {
                *word = self.read_at(place(index), Width::Eight)?;
                index = next_index(index, size);
            }
        } else {
            let before_end = usize::from(count.min(size - head));
            let (first, rest) = words.split_at_mut(before_end);
            let transport = self.subject.transport();
            transport.read_words(place(head), first)?;
            transport.read_words(place(0), rest)?;
        }
        Ok(words)
    }

    /// Entries that the list holds: one less than it has places.
    pub fn room(&self) -> Result<usize, Stop> {
        Ok(self
            .capabilities_0()?
            .hotlist_entries()
            .saturating_sub(1)
            .into())
    }

    /// Entries between head and tail.
    pub fn occupancy(&mut self) -> Result<u16, Stop> {
        let size = self.capabilities_0()?.hotlist_entries();
        let (head, tail) = (self.head()?, self.tail()?);
        match head < size && tail < size {
            true => Ok(chmu_spec::hotlist::occupancy(head, tail, size)),
            false => fail(
                "hotlist head and tail",
                format!("{head} and {tail}"),
                format!("indices below {size}, the size of the list"),
            ),
        }
    }

    /// Takes looks that do not depend on each other, and ends with all that they found. After one that
    /// found something the device is brought to rest, so that nothing which follows from it is found by
    /// the next; where it does not come to rest, that look was the last.
    pub fn each<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut look: impl FnMut(&mut Self, T) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let under_test = self.place();
        let mut findings = Findings::default();
        for item in items {
            let found = look(self, item);
            let is_finding = matches!(found, Err(Stop::Failed(_)));
            findings.note(found)?;
            if is_finding {
                self.switch_to(under_test);
                match self.quiesce() {
                    Err(Stop::Failed(_)) => break,
                    at_rest => at_rest?,
                }
            }
        }
        findings.end()
    }

    /// Clears status bits, however the device has it: by writing 1, or 0 where that leaves them set.
    pub fn clear_status(&self, bits: Status) -> Result<(), Stop> {
        self.set_register(offset::STATUS, bits.into())?;
        let left = self.status()?;
        let is_left = bits.overflow() && left.overflow() || bits.fill_level() && left.fill_level();
        match is_left {
            false => Ok(()),
            true => self.set_register(offset::STATUS, 0),
        }
    }

    /// Brings every instance into the state that cases begin with: disabled, list empty, status
    /// clear, no interrupt waiting.
    pub fn quiesce(&mut self) -> Result<(), Stop> {
        let under_test = self.place();
        for place in self.instances() {
            self.switch_to(place);
            self.stop_whatever_runs()?;
            self.reset()?;
            self.stop()?;
            let status = self.status()?;
            self.clear_status(status)?;
            let tail = self.tail()?;
            self.set_head(tail)?;
            let (head, tail) = (self.head()?, self.tail()?);
            if head != tail {
                return fail(
                    "head and tail of a disabled instance after a reset and a drain",
                    format!("{head} and {tail}"),
                    "equal ones, so that the list is empty",
                );
            }
        }
        self.switch_to(under_test);
        self.touched.clear();
        self.drop_interrupts()
    }
}

/// The next step of a wait: short at first, so that quick operations are not kept waiting.
fn longer(step: Duration) -> Duration {
    (step + step / 4).min(LONGEST_STEP)
}

fn refused(setup: &Setup) -> Result<(), Stop> {
    fail(
        format!("enabled status after an enable with {setup}"),
        "0",
        "1, since the capabilities offer this configuration",
    )
}
