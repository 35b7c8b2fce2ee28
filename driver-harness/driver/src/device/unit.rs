// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The driver of one hotness monitoring unit.

use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use chmu_spec::chmu::{Configuration0, Configuration1, Configuration2, Status, offset};
use chmu_spec::hotlist::{Entry, maximum_count, next_index, occupancy};

use super::SharedTransport;
use super::block::{BITMAP_WORD_BYTES, Instance};
use super::capabilities::Capabilities;
use super::hotlist::Hotlist;
use super::ownership::UnitLock;
use super::range_bitmap;
use super::settings::Settings;
use super::unit_error::UnitError;
use super::unit_state::{Configuration, Drained, Limits, State, UnitStatistics};
use crate::transport::Width;

/// How often a unit is asked whether an operation is done.
const OPERATION_POLL: Duration = Duration::from_millis(1);

/// The driver of one unit.
#[derive(Debug)]
pub struct Unit {
    /// Dropped before the transport: a mapping keeps the function open.
    hotlist: Hotlist,
    transport: SharedTransport,
    instance: Instance,
    name: String,
    limits: Limits,
    programmed: Option<Programmed>,
    /// Counting was switched on and not off again.
    enabled: bool,
    /// Index of the next entry to read.
    head: u16,
    statistics: UnitStatistics,
    /// Dropped after the unit was stopped.
    lock: Option<UnitLock>,
}

#[derive(Debug)]
struct Programmed {
    settings: Settings,
    counter_width: u8,
}

impl Unit {
    /// Prepares to drive `instance`; touches nothing.
    pub fn new(transport: SharedTransport, instance: Instance, name: String) -> Unit {
        let hotlist = Hotlist::new(&*transport, &instance);
        Unit {
            hotlist,
            transport,
            instance,
            name,
            limits: Limits::default(),
            programmed: None,
            enabled: false,
            head: 0,
            statistics: UnitStatistics::default(),
            lock: None,
        }
    }

    /// Keeps what shows others that this unit has an owner, for as long as the unit lives.
    pub(super) fn keep(&mut self, lock: UnitLock) {
        self.lock = Some(lock);
    }

    /// Waits as long as `limits` say.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Unit {
        self.limits = limits;
        self
    }

    /// The unit as users name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the unit can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.instance.capabilities
    }

    /// Where the unit's registers and lists lie.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// How the unit's registers are reached.
    pub fn transport(&self) -> &SharedTransport {
        &self.transport
    }

    /// What the unit was programmed to do.
    pub fn settings(&self) -> Option<&Settings> {
        self.programmed
            .as_ref()
            .map(|programmed| &programmed.settings)
    }

    /// Bits of a counter; none before the unit was programmed.
    pub fn counter_width(&self) -> Option<u8> {
        self.programmed
            .as_ref()
            .map(|programmed| programmed.counter_width)
    }

    /// What was read so far.
    pub fn statistics(&self) -> UnitStatistics {
        self.statistics
    }

    /// Whether hotlist entries are read from mapped pages.
    pub fn is_hotlist_mapped(&self) -> bool {
        self.hotlist.is_mapped()
    }

    /// Whether the unit's interrupt message arrives on this path.
    pub fn can_interrupt(&self) -> bool {
        let message = u16::from(self.instance.capabilities.message_number);
        message < self.transport.interrupt_messages()
    }

    /// Reads the configuration.
    pub fn configuration(&self) -> Result<Configuration, UnitError> {
        Ok(Configuration {
            first: Configuration0::from_bits(self.read(offset::CONFIGURATION_0)?),
            second: Configuration1::from_bits(self.read(offset::CONFIGURATION_1)?),
            third: Configuration2::from_bits(self.read(offset::CONFIGURATION_2)?),
        })
    }

    /// Reads the status.
    pub fn status(&self) -> Result<Status, UnitError> {
        let status = self.read(offset::STATUS)?;
        // What no device answers reads as ones; behind some bridges and in emulators as zeros, which no
        // unit has in all of its capabilities.
        let is_gone = match status {
            u64::MAX => true,
            0 => self.read(offset::CAPABILITIES_0)? == 0,
            _ => false,
        };
        match is_gone {
            true => Err(UnitError::Gone),
            false => Ok(Status::from_bits(status)),
        }
    }

    /// Whether it counts, or was told to.
    pub fn counts(&self) -> Result<bool, UnitError> {
        let configuration = Configuration0::from_bits(self.read(offset::CONFIGURATION_0)?);
        Ok(self.status()?.enabled() || configuration.enable())
    }

    /// Reads the status and the ends of the hotlist.
    pub fn state(&self) -> Result<State, UnitError> {
        Ok(State {
            status: self.status()?,
            head: self.read_word(offset::HOTLIST_HEAD)?,
            tail: self.read_word(offset::HOTLIST_TAIL)?,
        })
    }

    /// Stops the unit if it counts, resets it and writes `settings`; leaves it disabled.
    pub fn program(&mut self, settings: Settings) -> Result<(), UnitError> {
        self.programmed = None;
        self.disable()?;
        self.reset()?;
        self.write_kept(
            "Configuration 1",
            offset::CONFIGURATION_1,
            settings.configuration_1().into_bits(),
        )?;
        self.write_kept(
            "Configuration 2",
            offset::CONFIGURATION_2,
            settings.configuration_2().into_bits(),
        )?;
        let counter_width = self.status()?.counter_width();
        if !(1..=63).contains(&counter_width) {
            return Err(UnitError::CounterWidth(counter_width));
        }
        if u64::from(settings.threshold) > maximum_count(counter_width) {
            return Err(UnitError::Threshold {
                threshold: settings.threshold,
                counter_width,
            });
        }
        self.write_ranges(&settings)?;
        self.write_kept(
            "Configuration 0",
            offset::CONFIGURATION_0,
            settings.configuration_0().into_bits(),
        )?;
        self.programmed = Some(Programmed {
            settings,
            counter_width,
        });
        Ok(())
    }

    /// Empties the list and zeroes the counters; the unit must be disabled.
    pub fn reset(&mut self) -> Result<(), UnitError> {
        let configuration = Configuration0::from_bits(self.read(offset::CONFIGURATION_0)?);
        let reset = configuration.with_enable(false).with_reset(true);
        self.write(offset::CONFIGURATION_0, reset.into_bits())?;
        self.finish("end its reset", |status| !status.enabled())?;
        self.clear(Status::new().with_overflow(true).with_fill_level(true))?;
        // What a reset leaves in the list was counted under another configuration.
        self.head = self.read_index("tail", offset::HOTLIST_TAIL)?;
        if self.read_index("head", offset::HOTLIST_HEAD)? != self.head {
            self.write_head()?;
        }
        Ok(())
    }

    /// Puts the unit back as it is after power-on: it does not count, its list is empty, and its
    /// configuration is zero. Returns whether the configuration was another.
    pub fn restore(&mut self) -> Result<bool, UnitError> {
        self.programmed = None;
        self.disable()?;
        self.reset()?;
        let mut was_configured = false;
        for register in [
            offset::CONFIGURATION_0,
            offset::CONFIGURATION_1,
            offset::CONFIGURATION_2,
        ] {
            if self.read(register)? != 0 {
                was_configured = true;
                self.write(register, 0)?;
            }
        }
        Ok(was_configured)
    }

    /// Starts counting.
    pub fn enable(&mut self) -> Result<(), UnitError> {
        let programmed = self.programmed.as_ref().ok_or(UnitError::NotProgrammed)?;
        let configuration = programmed.settings.configuration_0().with_enable(true);
        self.write(offset::CONFIGURATION_0, configuration.into_bits())?;
        self.finish("start counting", |status| status.enabled())?;
        self.enabled = true;
        Ok(())
    }

    /// Stops counting; the list stays readable. Does nothing to a unit that does not count.
    pub fn disable(&mut self) -> Result<(), UnitError> {
        let configuration = Configuration0::from_bits(self.read(offset::CONFIGURATION_0)?);
        if configuration.enable() || self.status()?.enabled() {
            let stopped = configuration.with_enable(false).with_reset(false);
            self.write(offset::CONFIGURATION_0, stopped.into_bits())?;
        }
        self.enabled = false;
        self.finish("stop counting", |status| !status.enabled())
    }

    /// Appends all entries of the hotlist to `entries`, oldest first, and makes room for new ones.
    pub fn drain(&mut self, entries: &mut Vec<Entry>) -> Result<Drained, UnitError> {
        let counter_width = self.counter_width().ok_or(UnitError::NotProgrammed)?;
        let status = self.status()?;
        if self.enabled && !status.enabled() {
            return Err(UnitError::Stopped);
        }
        // Cleared before the list is read: what comes in between sets the bits again.
        self.clear(
            Status::new()
                .with_overflow(status.overflow())
                .with_fill_level(status.fill_level()),
        )?;
        let tail = self.read_index("tail", offset::HOTLIST_TAIL)?;
        // The entries are read after the tail that covers them.
        fence(Ordering::Acquire);
        let size = self.instance.capabilities.hotlist_entries;
        let count = occupancy(self.head, tail, size);
        entries.reserve(count.into());
        for _ in 0..count {
            let raw = self.hotlist.read(&*self.transport, self.head)?;
            entries.push(Entry::decode(raw, counter_width));
            self.head = next_index(self.head, size);
        }
        if count > 0 {
            // The entries are read before the device may replace them.
            fence(Ordering::SeqCst);
            self.write_head()?;
        }
        self.statistics.drains += 1;
        self.statistics.entries += u64::from(count);
        self.statistics.overflows += u64::from(status.overflow());
        self.statistics.fill_levels += u64::from(status.fill_level());
        Ok(Drained {
            entries: count,
            overflow: status.overflow(),
            fill_level: status.fill_level(),
        })
    }

    /// Waits for the unit's interrupt, at most `timeout`; without interrupts lets that time pass.
    pub fn wait(&mut self, timeout: Duration) -> Result<(), UnitError> {
        let interrupts = self.settings().is_some_and(Settings::has_interrupts);
        if !interrupts || !self.can_interrupt() {
            self.transport.pause(timeout);
            return Ok(());
        }
        let message = self.instance.capabilities.message_number.into();
        let came = self.transport.wait_for_interrupt(message, timeout)?;
        self.statistics.interrupts += came.unwrap_or(0);
        Ok(())
    }

    /// Sets the bits of all ranges to track and clears those before, between and right behind them.
    fn write_ranges(&self, settings: &Settings) -> Result<(), UnitError> {
        let bar_bytes = self.transport.bar_bytes(self.instance.place.bar)?;
        let words = range_bitmap::words(&settings.ranges, &self.instance, bar_bytes)?;
        for (index, word) in (0..).zip(words) {
            let place = self.instance.range_bitmap_offset + index * BITMAP_WORD_BYTES;
            self.write_kept("A word of the range bitmap", place, word)?;
        }
        Ok(())
    }

    /// Waits until no operation is in progress and the status is as wanted.
    fn finish(
        &self,
        operation: &'static str,
        wanted: impl Fn(Status) -> bool,
    ) -> Result<(), UnitError> {
        let limit = self.limits.operation;
        let start = self.transport.now();
        loop {
            let waited = self.transport.now().saturating_sub(start);
            let status = self.status()?;
            if status.operation_code() == 0 && wanted(status) {
                return Ok(());
            }
            if waited >= limit {
                return Err(UnitError::Timeout {
                    operation,
                    limit,
                    status: status.into_bits(),
                    configuration: self.read(offset::CONFIGURATION_0)?,
                });
            }
            self.transport.pause(OPERATION_POLL);
        }
    }

    /// Clears the status bits that are set in `bits`.
    fn clear(&self, bits: Status) -> Result<(), UnitError> {
        match bits.into_bits() {
            0 => Ok(()),
            bits => self.write(offset::STATUS, bits),
        }
    }

    fn read_index(&self, name: &'static str, at: u64) -> Result<u16, UnitError> {
        let index = self.read_word(at)?;
        let entries = self.instance.capabilities.hotlist_entries;
        match index < entries {
            true => Ok(index),
            false => Err(UnitError::Index {
                name,
                index,
                entries,
            }),
        }
    }

    fn read_word(&self, at: u64) -> Result<u16, UnitError> {
        let place = self.instance.place.plus(at);
        let value = self.transport.read(place, Width::Two)?;
        Ok(u16::try_from(value).unwrap_or(u16::MAX))
    }

    fn write_head(&self) -> Result<(), UnitError> {
        let place = self.instance.place.plus(offset::HOTLIST_HEAD);
        Ok(self.transport.write(place, Width::Two, self.head.into())?)
    }

    fn read(&self, at: u64) -> Result<u64, UnitError> {
        let place = self.instance.place.plus(at);
        Ok(self.transport.read(place, Width::Eight)?)
    }

    fn write(&self, at: u64, value: u64) -> Result<(), UnitError> {
        let place = self.instance.place.plus(at);
        Ok(self.transport.write(place, Width::Eight, value)?)
    }

    fn write_kept(&self, register: &'static str, at: u64, value: u64) -> Result<(), UnitError> {
        self.write(at, value)?;
        match self.read(at)? {
            read if read == value => Ok(()),
            read => Err(UnitError::NotKept {
                register,
                written: value,
                read,
            }),
        }
    }
}

impl Drop for Unit {
    /// A unit does not go on counting for nobody.
    fn drop(&mut self) {
        if self.enabled
            && let Err(error) = self.disable()
        {
            log::warn!("Cannot stop {}: {error}", self.name);
            if let Some(lock) = &mut self.lock {
                lock.leave_unfinished();
            }
        }
    }
}
