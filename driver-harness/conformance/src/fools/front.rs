// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a device that is made to fool the suite puts in front of the model.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chmu_driver::transport::in_process::InProcessDevice;
use chmu_driver::transport::{BarOffset, Transport, TransportError, Width};
use chmu_spec::chmu::offset;
use chmu_spec::hotlist::ENTRY_BYTES;

use super::Fool;
use crate::paths::in_process::{Front, Parts, part};

/// What a place of an instance of the first block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spot {
    /// The word of registers at this offset.
    Register(u64),
    /// The first word of the range bitmap.
    Ranges,
    /// An entry of the hotlist.
    Entry(u64),
}

/// What it remembers of its first instance.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The last whole words that were written.
    pub(super) written: BTreeMap<Spot, u64>,
    /// What words read as the first time.
    pub(super) first: BTreeMap<Spot, u64>,
    /// Reads of anything.
    pub(super) reads: u64,
    /// Looks at head and tail since the last requests.
    pub(super) looks: u64,
    /// How often requests came.
    pub(super) requests: u64,
}

/// A word that is read.
pub(super) struct Read<'a> {
    pub(super) spot: Spot,
    /// What it reads as on a device that works.
    pub(super) word: u64,
    /// What a register of the instance reads as on a device that works.
    pub(super) register: &'a dyn Fn(u64) -> u64,
    pub(super) memory: &'a Memory,
}

/// A value that is written.
pub(super) struct Write {
    pub(super) spot: Spot,
    pub(super) value: u64,
    /// Whether it is of the whole word.
    pub(super) is_whole: bool,
}

/// A fool in front of the model.
#[derive(Debug)]
pub(super) struct FoolFront {
    fool: Fool,
    parts: OnceLock<Option<Parts>>,
    memory: Mutex<Memory>,
}

impl FoolFront {
    pub(super) fn new(fool: Fool) -> Self {
        Self {
            fool,
            parts: OnceLock::new(),
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> Option<Parts> {
        self.parts.get().copied().flatten()
    }

    fn spot(&self, place: BarOffset) -> Option<(Parts, Spot)> {
        let parts = self.parts().filter(|parts| parts.bar == place.bar)?;
        let at = place.offset - place.offset % ENTRY_BYTES;
        let within =
            |start: u64, bytes: u64| at.checked_sub(start).filter(|inside| *inside < bytes);
        let word = BarOffset {
            offset: at,
            ..place
        };
        let spot = parts
            .register(word)
            .map(Spot::Register)
            .or_else(|| within(parts.ranges, ENTRY_BYTES).map(|_| Spot::Ranges))
            .or_else(|| {
                let inside = within(parts.hotlist, u64::from(parts.entries) * ENTRY_BYTES)?;
                Some(Spot::Entry(inside / ENTRY_BYTES))
            })?;
        Some((parts, spot))
    }
}

impl Front for FoolFront {
    fn read(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
    ) -> Result<u64, TransportError> {
        let Some((parts, spot)) = self.spot(place) else {
            return device.read(place, width);
        };
        let at = place.offset % ENTRY_BYTES;
        let whole = BarOffset {
            offset: place.offset - at,
            ..place
        };
        let word = device.read(whole, Width::Eight)?;
        let register = |register| {
            let offset = parts.start + register;
            device
                .read(BarOffset { offset, ..place }, Width::Eight)
                .unwrap_or(0)
        };
        let mut memory = self.memory();
        let shown = (self.fool.read)(&Read {
            spot,
            word,
            register: &register,
            memory: &memory,
        });
        memory.reads += 1;
        memory.first.entry(spot).or_insert(word);
        if spot == Spot::Register(offset::HOTLIST_HEAD) {
            memory.looks += 1;
        }
        Ok(part(shown, at, width))
    }

    fn write(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
        value: u64,
    ) -> Result<(), TransportError> {
        let Some((_, spot)) = self.spot(place) else {
            return device.write(place, width, value);
        };
        let mut memory = self.memory();
        let is_whole = width == Width::Eight;
        let reaches = (self.fool.write)(&Write {
            spot,
            value,
            is_whole,
        });
        if place.offset.is_multiple_of(ENTRY_BYTES) {
            memory.written.insert(spot, value);
        }
        match reaches {
            Some(value) => device.write(place, width, value),
            None => Ok(()),
        }
    }

    fn lets_requests_through(&self, _device: &InProcessDevice) -> bool {
        let mut memory = self.memory();
        memory.requests += 1;
        let through = (self.fool.requests)(&memory);
        memory.looks = 0;
        through
    }

    fn wait_for_interrupt(
        &self,
        device: &InProcessDevice,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        let came = device.wait_for_interrupt(message, timeout)?;
        Ok((self.fool.interrupts)(came))
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.parts
            .get_or_init(|| Parts::of(device).ok()?.first().copied());
        *self.memory() = Memory::default();
    }
}
