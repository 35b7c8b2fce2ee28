// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Honest ways to be another device than the model.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

use chmu_conformance::paths::in_process::{Front, Parts, part};
use chmu_driver::device::block_places;
use chmu_driver::transport::in_process::InProcessDevice;
use chmu_driver::transport::{BarOffset, Transport, TransportError, Width};
use chmu_spec::chmu::offset;

type Outcome<T> = Result<T, TransportError>;

/// The instances of a device, as they are before anything stands in front of it.
#[derive(Debug, Default)]
struct Layout(OnceLock<Vec<Parts>>);

impl Layout {
    fn learn(&self, device: &InProcessDevice) {
        self.0.get_or_init(|| Parts::of(device).unwrap());
    }

    fn all(&self) -> &[Parts] {
        self.0.get().map_or(&[], Vec::as_slice)
    }

    /// The instance that has a register at this place, and the register's offset.
    fn register(&self, place: BarOffset) -> Option<(usize, u64)> {
        let mut all = self.all().iter().enumerate();
        all.find_map(|(index, parts)| Some((index, parts.register(place)?)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The device as it is.
#[derive(Debug)]
pub(crate) struct Same;

impl Front for Same {}

/// How the tail goes on once entries are there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tail {
    /// Shows entries this long after it was looked at first, in nanoseconds.
    LateBy(u64),
    /// Goes on by one entry, so often, in nanoseconds.
    OneEach(u64),
}

/// The tail that is shown, and those that will be, with their times in nanoseconds.
type ShownTail = (u16, VecDeque<(u64, u16)>);

/// Tails that do not show entries at once.
#[derive(Debug)]
pub(crate) struct SlowTail {
    layout: Layout,
    tail: Tail,
    /// For each instance.
    shown: Mutex<Vec<ShownTail>>,
}

impl SlowTail {
    pub(crate) fn new(tail: Tail) -> Self {
        Self {
            layout: Layout::default(),
            tail,
            shown: Mutex::default(),
        }
    }

    fn shown_tail(&self, device: &InProcessDevice, index: usize, real: u16) -> u16 {
        let now = device.clock_ns();
        let entries = self.layout.all()[index].entries;
        let (shown, coming) = &mut lock(&self.shown)[index];
        let last = coming.back().map_or(*shown, |(_, tail)| *tail);
        if last != real {
            match self.tail {
                Tail::LateBy(delay) => coming.push_back((now + delay, real)),
                Tail::OneEach(delay) => {
                    let mut at = coming.back().map_or(now, |(when, _)| *when);
                    let mut tail = last;
                    while tail != real {
                        tail = (tail + 1) % entries;
                        at += delay;
                        coming.push_back((at, tail));
                    }
                }
            }
        }
        while let Some((_, tail)) = coming.front().copied().filter(|(when, _)| *when <= now) {
            *shown = tail;
            coming.pop_front();
        }
        *shown
    }
}

impl Front for SlowTail {
    fn read(&self, device: &InProcessDevice, place: BarOffset, width: Width) -> Outcome<u64> {
        let Some((index, at)) = self.layout.register(place).filter(|(_, at)| *at >= 0x68) else {
            return device.read(place, width);
        };
        let word_place = BarOffset {
            offset: place.offset - at % 8,
            ..place
        };
        let word = device.read(word_place, Width::Eight)?;
        let real = u16::try_from(word >> 16 & 0xffff).unwrap_or(u16::MAX);
        let tail = self.shown_tail(device, index, real);
        let word = word & !0xffff_0000 | u64::from(tail) << 16;
        Ok(part(word, at, width))
    }

    fn write(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
        value: u64,
    ) -> Outcome<()> {
        device.write(place, width, value)?;
        let resets =
            |(_, at): &(usize, u64)| *at == offset::CONFIGURATION_0 && value >> 17 & 1 == 1;
        if let Some((index, _)) = self.layout.register(place).filter(resets) {
            lock(&self.shown)[index] = (0, VecDeque::new());
        }
        Ok(())
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.layout.learn(device);
        *lock(&self.shown) = vec![(0, VecDeque::new()); self.layout.all().len()];
    }
}

/// Bits that no configuration on offer needs read as zero.
#[derive(Debug, Default)]
pub(crate) struct Hardwired {
    layout: Layout,
}

impl Hardwired {
    /// The bits of a configuration register that there are.
    fn bits(&self, device: &InProcessDevice, index: usize, register: u64) -> Outcome<u64> {
        let parts = self.layout.all()[index];
        let word = |at| {
            let place = BarOffset {
                bar: device_bar(device),
                offset: parts.start + at,
            };
            device.read(place, Width::Eight)
        };
        let (first, second) = (word(offset::CAPABILITIES_0)?, word(offset::CAPABILITIES_1)?);
        Ok(match register {
            offset::CONFIGURATION_0 => {
                let randomise = (second >> 50 & 1) << 8;
                let interrupts = (first >> 4 & 3) << 9;
                7 | randomise | interrupts | 3 << 16 | 0xffff_ffff << 32
            }
            offset::CONFIGURATION_1 => {
                let sampling = (second >> 32 & 0xffff).max(1).ilog2();
                let sampling = sampling
                    .checked_ilog2()
                    .map_or(0, |bits| (2_u64 << bits) - 1);
                let mode = (second >> 49 & 1) << 40;
                0x1f | sampling << 32 | mode | 0xfff7 << 48
            }
            _ => u64::from(parts.entries).next_power_of_two() - 1,
        })
    }
}

fn device_bar(device: &InProcessDevice) -> u8 {
    block_places(device).unwrap()[0].bar
}

impl Front for Hardwired {
    fn write(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
        value: u64,
    ) -> Outcome<()> {
        let is_configuration = |(_, at): &(usize, u64)| (0x40..0x58).contains(at);
        let Some((index, at)) = self.layout.register(place).filter(is_configuration) else {
            return device.write(place, width, value);
        };
        let bits = self.bits(device, index, at - at % 8)?;
        device.write(place, width, value & part(bits, at, width))
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.layout.learn(device);
    }
}

/// All memory is tracked, always.
#[derive(Debug, Default)]
pub(crate) struct FixedRanges {
    layout: Layout,
}

impl Front for FixedRanges {
    fn write(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
        value: u64,
    ) -> Outcome<()> {
        let ranges = |parts: &Parts| (parts.ranges..parts.ranges + 8).contains(&place.offset);
        match self.layout.all().iter().any(ranges) {
            true => Ok(()),
            false => device.write(place, width, value),
        }
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.layout.learn(device);
        for parts in self.layout.all() {
            let place = BarOffset {
                bar: device_bar(device),
                offset: parts.ranges,
            };
            device.write(place, Width::Eight, 0xff).unwrap();
        }
    }
}

/// The bits of the range bitmap that stand for no memory are hardwired to one.
#[derive(Debug, Default)]
pub(crate) struct RangesBeyondMemory {
    layout: Layout,
}

impl Front for RangesBeyondMemory {
    fn read(&self, device: &InProcessDevice, place: BarOffset, width: Width) -> Outcome<u64> {
        let word = device.read(place, width)?;
        let ranges = |parts: &&Parts| (parts.ranges..parts.ranges + 8).contains(&place.offset);
        let Some(parts) = self.layout.all().iter().find(ranges) else {
            return Ok(word);
        };
        Ok(word | part(!0xff, place.offset - parts.ranges, width))
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.layout.learn(device);
    }
}

/// Fields with one value on offer are hardwired to it.
#[derive(Debug)]
pub(crate) struct OneChoice {
    layout: Layout,
    /// Of a configuration register the bits of these fields, and what they read as.
    fields: [(u64, u64, u64); 2],
}

impl OneChoice {
    /// Always on, in units of 2 MiB, of all requests of hosts that trust nobody.
    pub(crate) fn always_on() -> OneChoice {
        OneChoice {
            layout: Layout::default(),
            fields: [
                (offset::CONFIGURATION_0, 7, 3),
                (offset::CONFIGURATION_1, 0xff << 40 | 0x1f, 1 << 40 | 21),
            ],
        }
    }

    /// The hardwired bits among those that are accessed, and what they read as.
    fn hardwired(&self, place: BarOffset, width: Width) -> (u64, u64) {
        let found = self.layout.register(place).and_then(|(_, at)| {
            let mut fields = self.fields.iter();
            let field = fields.find(|(register, ..)| at & !7 == *register);
            field.map(|(_, bits, value)| (part(*bits, at, width), part(*value, at, width)))
        });
        found.unwrap_or_default()
    }
}

impl Front for OneChoice {
    fn read(&self, device: &InProcessDevice, place: BarOffset, width: Width) -> Outcome<u64> {
        let (bits, value) = self.hardwired(place, width);
        Ok(device.read(place, width)? & !bits | value)
    }

    fn write(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
        value: u64,
    ) -> Outcome<()> {
        let (bits, fixed) = self.hardwired(place, width);
        device.write(place, width, value & !bits | fixed)
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.layout.learn(device);
    }
}

/// The capabilities list no down-sampling factor, and every request counts.
#[derive(Debug, Default)]
pub(crate) struct NoFactors {
    layout: Layout,
}

impl Front for NoFactors {
    fn read(&self, device: &InProcessDevice, place: BarOffset, width: Width) -> Outcome<u64> {
        let Some((_, at)) = self.layout.register(place).filter(|(_, at)| at & !7 == 8) else {
            return device.read(place, width);
        };
        let word_place = BarOffset {
            offset: place.offset - at % 8,
            ..place
        };
        let word = device.read(word_place, Width::Eight)?;
        let word = word & !(0xffff << 32);
        Ok(part(word, at, width))
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.layout.learn(device);
    }
}

/// Status bits are there only while their interrupt is enabled, as one public emulation has it.
#[derive(Debug, Default)]
pub(crate) struct StatusWithInterrupts {
    layout: Layout,
}

impl Front for StatusWithInterrupts {
    fn read(&self, device: &InProcessDevice, place: BarOffset, width: Width) -> Outcome<u64> {
        let Some((_, at)) = self
            .layout
            .register(place)
            .filter(|(_, at)| at & !7 == 0x60)
        else {
            return device.read(place, width);
        };
        let word_at = |register: u64| BarOffset {
            offset: place.offset - at + register,
            ..place
        };
        let word = device.read(word_at(offset::STATUS), Width::Eight)?;
        let enabled = device.read(word_at(offset::CONFIGURATION_0), Width::Eight)? >> 9 & 3;
        let word = word & !(3 << 40) | (word & enabled << 40);
        Ok(part(word, at, width))
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.layout.learn(device);
    }
}

/// Instances side by side, without room between them; hotlists at the end of a larger BAR, the last
/// instance's first, and range bitmaps behind them.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    layout: Layout,
}

/// Bytes from one instance to the next.
const DENSE_LENGTH: u64 = 0x78;
/// Where hotlists start, behind everything else of a block, and how much room each has.
const FAR: u64 = 0x80_0000;
const FAR_STEP: u64 = 0x10_0000;
/// Where a range bitmap lies in that room.
const FAR_RANGES: u64 = 0x8_0000;

impl Moved {
    fn far(parts: &Parts, count: u64) -> u64 {
        FAR + parts.block + (count - 1 - parts.number) * FAR_STEP
    }

    /// Where a place is in the model; none where nothing is.
    fn real(&self, place: BarOffset) -> Option<BarOffset> {
        let count = self.layout.all().len() as u64;
        let at = place.offset;
        let found = self.layout.all().iter().find_map(|parts| {
            let dense = parts.block + 0x10 + parts.number * DENSE_LENGTH;
            let far = Self::far(parts, count);
            let within =
                |start: u64, bytes: u64| at.checked_sub(start).filter(|inside| *inside < bytes);
            within(dense, 0x70)
                .map(|inside| parts.start + inside)
                .or_else(|| within(far, FAR_RANGES).map(|inside| parts.hotlist + inside))
                .or_else(|| within(far + FAR_RANGES, 8).map(|inside| parts.ranges + inside))
        });
        let header = at < 0x10;
        let offset = found.or(header.then_some(at))?;
        Some(BarOffset { offset, ..place })
    }
}

impl Front for Moved {
    fn bar_bytes(&self, _bar: u8, bytes: u64) -> u64 {
        bytes.max(FAR * 4)
    }

    fn read(&self, device: &InProcessDevice, place: BarOffset, width: Width) -> Outcome<u64> {
        if self.layout.all().is_empty() || place.bar != device_bar(device) {
            return device.read(place, width);
        }
        let at = place.offset;
        let whole = at - at % 8;
        let count = self.layout.all().len() as u64;
        let word = match whole {
            8 => Some(DENSE_LENGTH),
            _ => self.layout.all().iter().find_map(|parts| {
                let dense = parts.block + 0x10 + parts.number * DENSE_LENGTH;
                let far = Self::far(parts, count) - dense;
                match whole.checked_sub(dense)? {
                    offset::RANGE_BITMAP_OFFSET => Some(far + FAR_RANGES),
                    offset::HOTLIST_OFFSET => Some(far),
                    _ => None,
                }
            }),
        };
        match (word, self.real(place)) {
            (Some(word), _) => Ok(part(word, at, width)),
            (None, Some(real)) => device.read(real, width),
            (None, None) => Ok(0),
        }
    }

    fn write(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
        value: u64,
    ) -> Outcome<()> {
        if self.layout.all().is_empty() || place.bar != device_bar(device) {
            return device.write(place, width, value);
        }
        match self.real(place) {
            Some(real) => device.write(real, width, value),
            None => Ok(()),
        }
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.layout.learn(device);
    }
}

/// Reads as all ones for so long after a reset of the function.
#[derive(Debug)]
pub(crate) struct SlowToWake {
    takes_ns: u64,
    /// When it is awake; nobody has reset it yet without.
    awake_ns: Mutex<Option<u64>>,
}

impl SlowToWake {
    pub(crate) fn new(takes_ns: u64) -> Self {
        Self {
            takes_ns,
            awake_ns: Mutex::default(),
        }
    }
}

impl Front for SlowToWake {
    fn read(&self, device: &InProcessDevice, place: BarOffset, width: Width) -> Outcome<u64> {
        match device.clock_ns() < lock(&self.awake_ns).unwrap_or(0) {
            true => Ok(part(u64::MAX, 0, width)),
            false => device.read(place, width),
        }
    }

    fn was_reset(&self, device: &InProcessDevice) {
        let mut awake_ns = lock(&self.awake_ns);
        let is_on = awake_ns.is_some();
        *awake_ns = Some(if is_on {
            device.clock_ns() + self.takes_ns
        } else {
            0
        });
    }
}
