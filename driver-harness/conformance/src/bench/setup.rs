// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A configuration as cases write it: everything may be set, also what no device offers.

use std::fmt;
use std::time::Duration;

use chmu_driver::transport::Width;
use chmu_spec::chmu::{
    Capabilities0, Capabilities1, Configuration0, Configuration1, Configuration2, Mode,
    RANGE_BYTES, offset,
};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::hotlist::maximum_count;
use chmu_spec::request::{AccessKind, RequestFilter, RequestFilters};
use chmu_spec::unit_size::{UnitSize, UnitSizes};

use super::Bench;
use crate::outcome::{Stop, fail, skip};
use crate::registers;

/// Which ranges are tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// All of the device's memory.
    All,
    /// The bits of these words, from DPA 0 on.
    Words(Vec<u64>),
}

/// A configuration of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Size of the units.
    pub unit_size: UnitSize,
    /// Hotness threshold.
    pub threshold: u32,
    /// Which requests are tracked.
    pub filter: RequestFilter,
    /// Epoch or always-on.
    pub mode: Mode,
    /// Epoch length.
    pub epoch: EpochLength,
    /// log2 of the down-sampling factor.
    pub down_sampling_log2: u8,
    /// Randomise the down-sampling.
    pub randomise: bool,
    /// Interrupt on overflow.
    pub overflow_interrupt: bool,
    /// Interrupt on fill level.
    pub fill_level_interrupt: bool,
    /// Fill-level threshold.
    pub fill_level: u16,
    /// Which ranges are tracked.
    pub ranges: Ranges,
    /// The largest count of the counters for units of this size.
    pub largest_count: u64,
}

const REGISTERS: [u64; 3] = [
    offset::CONFIGURATION_0,
    offset::CONFIGURATION_1,
    offset::CONFIGURATION_2,
];

impl Setup {
    /// Accesses to a unit that report it exactly once: in either mode, and whether a count must
    /// reach the threshold or pass it. (A counter of 1 bit cannot pass a threshold.)
    pub fn hot(&self) -> u64 {
        let threshold = u64::from(self.threshold);
        match self.mode {
            Mode::AlwaysOn if threshold >= self.largest_count => threshold,
            _ => threshold + 1,
        }
    }

    /// The value of a configuration register of an enabled instance; 0 of any other.
    pub fn register(&self, offset: u64) -> u64 {
        match offset {
            offset::CONFIGURATION_0 => self.configuration_0(true).into(),
            offset::CONFIGURATION_1 => self.configuration_1().into(),
            offset::CONFIGURATION_2 => self.configuration_2().into(),
            _ => 0,
        }
    }

    /// Requests that the down-sampling makes one of.
    pub fn factor(&self) -> u64 {
        1 << self.down_sampling_log2.min(15)
    }

    /// The first configuration register, with the enable bit.
    pub fn configuration_0(&self, enable: bool) -> Configuration0 {
        Configuration0::new()
            .with_request_code(self.filter.code())
            .with_randomise_down_sampling(self.randomise)
            .with_overflow_interrupt(self.overflow_interrupt)
            .with_fill_level_interrupt(self.fill_level_interrupt)
            .with_enable(enable)
            .with_hotness_threshold(self.threshold)
    }

    /// The second configuration register.
    pub fn configuration_1(&self) -> Configuration1 {
        Configuration1::new()
            .with_unit_size_log2(self.unit_size.log2_bytes().into())
            .with_down_sampling_log2(self.down_sampling_log2)
            .with_mode_code(self.mode.code())
            .with_epoch_scale(self.epoch.scale().code())
            .with_epoch_multiplier(self.epoch.multiplier())
    }

    /// The third configuration register.
    pub fn configuration_2(&self) -> Configuration2 {
        Configuration2::new().with_fill_level_threshold(self.fill_level)
    }

    /// The kind of request that the filter tracks; reads where it tracks both.
    pub fn tracked_kind(&self) -> AccessKind {
        match self.filter.tracks(AccessKind::Read, false) {
            true => AccessKind::Read,
            false => AccessKind::Write,
        }
    }

    /// The epoch as a duration.
    pub fn epoch_duration(&self) -> Duration {
        Duration::from_nanos(self.epoch.nanoseconds())
    }
}

/// What the configuration registers say with it.
impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = REGISTERS.map(|at| registers::fields(at, self.register(at)));
        let words: Vec<_> = words
            .into_iter()
            .filter(|words| !words.is_empty())
            .collect();
        f.write_str(&words.join(", "))
    }
}

impl Bench<'_> {
    /// A configuration that the instance under test offers: units of 4 KiB or what comes closest,
    /// threshold 2 where the counter can pass it, all ranges, every request that can be tracked,
    /// epoch mode where there is one, no interrupts, the smallest down-sampling factor.
    pub fn setup(&mut self) -> Result<Setup, Stop> {
        let (capabilities_0, capabilities_1) = (self.capabilities_0()?, self.capabilities_1()?);
        let mode = match capabilities_1.epoch_mode() {
            true => Mode::Epoch,
            false => Mode::AlwaysOn,
        };
        let unit_size = unit_size(capabilities_1)?;
        let setup = Setup {
            unit_size,
            threshold: 2,
            filter: filter(capabilities_0)?,
            mode,
            epoch: self.epoch(capabilities_0, mode)?,
            down_sampling_log2: smallest_factor(capabilities_1),
            randomise: false,
            overflow_interrupt: false,
            fill_level_interrupt: false,
            fill_level: u16::MAX,
            ranges: Ranges::All,
            largest_count: u64::from(u32::MAX),
        };
        self.with_unit_size(&setup, unit_size)
    }

    /// The same with units of another size, and a threshold that their counters can pass.
    pub fn with_unit_size(&mut self, setup: &Setup, unit_size: UnitSize) -> Result<Setup, Stop> {
        let width = self.counter_width(unit_size)?;
        let largest_count = maximum_count(width).min(u32::MAX.into());
        let threshold = u64::from(setup.threshold).min(largest_count.saturating_sub(1).max(1));
        Ok(Setup {
            unit_size,
            threshold: u32::try_from(threshold).unwrap_or(u32::MAX),
            largest_count,
            ..setup.clone()
        })
    }

    /// The same in epoch mode; skips the case where there is none.
    pub fn epoch_setup(&mut self) -> Result<Setup, Stop> {
        let setup = self.setup()?;
        match setup.mode {
            Mode::Epoch => Ok(setup),
            Mode::AlwaysOn => skip("the instance has no epoch mode"),
        }
    }

    /// The same in always-on mode; skips the case where there is none.
    pub fn always_on_setup(&mut self) -> Result<Setup, Stop> {
        if !self.capabilities_1()?.always_on_mode() {
            return skip("the instance has no always-on mode");
        }
        let mut setup = self.setup()?;
        setup.mode = Mode::AlwaysOn;
        Ok(setup)
    }

    /// Unit sizes on offer.
    pub fn unit_sizes(&self) -> Result<UnitSizes, Stop> {
        Ok(UnitSizes::from_bits(self.capabilities_1()?.unit_sizes()))
    }

    /// Request filters on offer.
    pub fn filters(&self) -> Result<RequestFilters, Stop> {
        let bits = self.capabilities_0()?.trackable_requests();
        Ok(RequestFilters::from_bits(bits))
    }

    /// Bits of the range bitmap that stand for the device's memory, as far as it is known; skips
    /// the case where nothing is.
    pub fn range_bits(&mut self) -> Result<u64, Stop> {
        let mut end = self.subject.memory_bytes();
        for tee in [false, true] {
            if let Ok(ranges) = self.reachable(tee) {
                end = ranges.last().map_or(end, |range| range.end.0.max(end));
            }
        }
        match end.div_ceil(RANGE_BYTES) {
            0 => skip("the size of the device's memory is unknown"),
            bits => Ok(bits),
        }
    }

    /// Skips the case where the range bitmap is fixed.
    pub fn need_writable_ranges(&mut self) -> Result<(), Stop> {
        let used = u64::MAX >> (64 - self.range_bits()?.min(64));
        let place = self.ranges_place()?;
        let before = self.read_at(place, Width::Eight)?;
        self.write_at(place, Width::Eight, !before & used)?;
        let after = self.read_at(place, Width::Eight)?;
        self.write_at(place, Width::Eight, before)?;
        match after & used == before & used && before & used == used {
            true => skip("the range bitmap is fixed: all memory is tracked"),
            false => Ok(()),
        }
    }

    fn epoch(&self, capabilities: Capabilities0, mode: Mode) -> Result<EpochLength, Stop> {
        let limits = capabilities
            .minimum_epoch()
            .zip(capabilities.maximum_epoch());
        let Some((shortest, longest)) = limits else {
            return match mode {
                Mode::AlwaysOn => Ok(any_epoch()),
                Mode::Epoch => fail(
                    "shortest and longest epoch of an instance with epoch mode",
                    registers::fields(offset::CAPABILITIES_0, capabilities.into()),
                    "defined scales and multipliers that are not zero",
                ),
            };
        };
        if self.subject.has_manual_clock() {
            return Ok(shortest);
        }
        let unhurried = u64::try_from(self.unhurried_epoch.as_nanos()).unwrap_or(u64::MAX);
        let wanted = unhurried.clamp(shortest.nanoseconds(), longest.nanoseconds());
        Ok(EpochLength::from_nanoseconds(wanted).unwrap_or(longest))
    }
}

/// An instance without epochs may still want a length that is one.
fn any_epoch() -> EpochLength {
    match EpochLength::new(EpochScale::HundredMilliseconds, 1) {
        Some(length) => length,
        None => unreachable!("1 is a multiplier"),
    }
}

/// log2 of the smallest down-sampling factor on offer; that of factor 1 where none is.
fn smallest_factor(capabilities: Capabilities1) -> u8 {
    let factors = capabilities.down_sampling_factors();
    (0..16).find(|log2| factors >> log2 & 1 == 1).unwrap_or(0)
}

fn unit_size(capabilities: Capabilities1) -> Result<UnitSize, Stop> {
    let sizes = UnitSizes::from_bits(capabilities.unit_sizes());
    let distance = |size: &UnitSize| {
        let (base, log2) = (UnitSize::BASE_PAGE.log2_bytes(), size.log2_bytes());
        (base.abs_diff(log2), log2)
    };
    match sizes.iter().min_by_key(distance) {
        Some(size) => Ok(size),
        None => fail(
            "unit sizes in the capabilities",
            format!("{:#x}", capabilities.unit_sizes()),
            "at least one bit of 23:0",
        ),
    }
}

fn filter(capabilities: Capabilities0) -> Result<RequestFilter, Stop> {
    let offered = RequestFilters::from_bits(capabilities.trackable_requests());
    let preferred = [
        RequestFilter::NonTeeReadWrite,
        RequestFilter::AllReadWrite,
        RequestFilter::NonTeeRead,
        RequestFilter::AllRead,
        RequestFilter::NonTeeWrite,
        RequestFilter::AllWrite,
    ];
    match preferred
        .into_iter()
        .find(|filter| offered.contains(*filter))
    {
        Some(filter) => Ok(filter),
        None => fail(
            "trackable requests in the capabilities",
            format!("{:#x}", capabilities.trackable_requests()),
            "at least one bit of 5:0",
        ),
    }
}
