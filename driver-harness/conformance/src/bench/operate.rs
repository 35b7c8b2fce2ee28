// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Enabling, disabling, resetting and draining an instance.

use std::time::Duration;

use chmu_driver::transport::Width;
use chmu_spec::chmu::{Configuration0, Status, offset};
use chmu_spec::hotlist::{ENTRY_BYTES, Entry, next_index};

use super::setup::{Ranges, Setup};
use super::{Bench, OPERATION_TIMEOUT};
use crate::outcome::{Stop, fail};

/// One step of a manual clock while an operation is waited for.
const OPERATION_STEP: Duration = Duration::from_millis(1);

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
        for index in 0..words {
            let used = (bits - index * 64).min(64);
            let word = match ranges {
                Ranges::All => u64::MAX >> (64 - used),
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
        if !self.settle("enable")?.enabled() {
            return Ok(Enabled::Refused);
        }
        self.count_epochs(setup, before)?;
        Ok(Enabled::Yes)
    }

    /// Configures and enables a configuration that the instance offers.
    pub fn start(&mut self, setup: &Setup) -> Result<(), Stop> {
        match self.try_start(setup)? {
            Enabled::Yes => Ok(()),
            Enabled::Refused => fail(
                format!("enabled status after an enable with {setup}"),
                "0",
                "1, since the capabilities offer this configuration",
            ),
        }
    }

    /// Disables the instance under test and waits for it.
    pub fn stop(&mut self) -> Result<(), Stop> {
        let configuration = Configuration0::from(self.register(offset::CONFIGURATION_0)?);
        let disabled = configuration.with_enable(false).with_reset(false);
        self.set_register(offset::CONFIGURATION_0, disabled.into())?;
        let status = self.settle("disable")?;
        self.forget_epochs();
        match status.enabled() {
            false => Ok(()),
            true => fail("enabled status after a disable", "1", "0"),
        }
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
        let start = self.now();
        loop {
            let late = self.now() - start > OPERATION_TIMEOUT;
            let status = self.status()?;
            if status.operation_code() == 0 {
                return Ok(status);
            }
            if late {
                return fail(
                    format!("operation in progress {OPERATION_TIMEOUT:?} after {operation}"),
                    status.operation_code().to_string(),
                    "0",
                );
            }
            self.pass(OPERATION_STEP)?;
        }
    }

    /// Takes all entries off the list of the instance under test.
    pub fn drain(&mut self) -> Result<Vec<Entry>, Stop> {
        let entries = self.peek()?;
        let tail = self.tail()?;
        self.set_head(tail)?;
        Ok(entries)
    }

    /// Reads the entries between head and tail and leaves them there.
    pub fn peek(&mut self) -> Result<Vec<Entry>, Stop> {
        let size = self.capabilities_0()?.hotlist_entries();
        let (mut index, tail) = (self.head()?, self.tail()?);
        if index >= size || tail >= size {
            return fail(
                "hotlist head and tail",
                format!("{index} and {tail}"),
                format!("indices below {size}, the size of the list"),
            );
        }
        let width = self.status()?.counter_width();
        let start = self.hotlist_place()?;
        let mut entries = Vec::new();
        while index != tail {
            let place = start.plus(u64::from(index) * ENTRY_BYTES);
            entries.push(Entry::decode(self.read_at(place, Width::Eight)?, width));
            index = next_index(index, size);
        }
        Ok(entries)
    }

    /// Brings every instance into the state that cases begin with: disabled, list empty, status
    /// clear, no interrupt waiting.
    pub fn quiesce(&mut self) -> Result<(), Stop> {
        let under_test = self.place();
        for place in self.instances() {
            self.switch_to(place);
            self.stop()?;
            self.reset()?;
            self.stop()?;
            let status = self.status()?;
            self.set_register(offset::STATUS, status.into())?;
            let tail = self.tail()?;
            self.set_head(tail)?;
        }
        self.switch_to(under_test);
        self.drop_interrupts()
    }
}
