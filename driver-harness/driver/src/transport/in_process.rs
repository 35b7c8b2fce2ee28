// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device model in this process: no kernel, no socket, and a clock that is moved by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chmu_cxl::{
    ConfigError, Function, FunctionConfig, FunctionEvent, FunctionHost, FunctionStatistics, Region,
};
use chmu_spec::access::Access;
use chmu_spec::address::{Hpa, HpaRange};

use super::reset::{function_level_reset, switch_on};
use super::{BarOffset, MappedWords, Transport, TransportError, Width, check_range};

/// What a device in this process is called.
const NAME: &str = "in-process";

/// A device whose model runs in this process.
pub struct InProcessDevice {
    model: Mutex<Model>,
    memory: Arc<Memory>,
    messages: u16,
}

/// The device and its clock.
struct Model {
    function: Function,
    outside: Outside,
    clock_ns: u64,
}

impl Model {
    /// Lets so many nanoseconds pass; whatever is due meanwhile happens at its own time.
    fn advance(&mut self, nanoseconds: u64) {
        let target = self.clock_ns.saturating_add(nanoseconds);
        while self.advance_to_deadline(target) {}
        self.clock_ns = target;
        self.function.advance(target, &mut self.outside);
    }

    /// Moves the clock to what is due next, if that is before `target`; returns whether it is.
    fn advance_to_deadline(&mut self, target: u64) -> bool {
        let due = self.function.next_deadline_ns();
        let due = due.filter(|&due| due > self.clock_ns && due < target);
        if let Some(due) = due {
            self.clock_ns = due;
            self.function.advance(due, &mut self.outside);
        }
        due.is_some()
    }

    fn take_interrupts(&mut self, message: u16) -> Option<u64> {
        self.outside.interrupts.remove(&message)
    }

    fn read(&mut self, region: Region, offset: u64, data: &mut [u8]) {
        let Model {
            function,
            outside,
            clock_ns,
        } = self;
        function.read(*clock_ns, region, offset, data, outside);
    }

    fn write(&mut self, region: Region, offset: u64, data: &[u8]) {
        let Model {
            function,
            outside,
            clock_ns,
        } = self;
        function.write(*clock_ns, region, offset, data, outside);
    }
}

/// What the device reaches outside of itself.
#[derive(Debug)]
struct Outside {
    memory: Arc<Memory>,
    /// Messages that came and were not waited for yet.
    interrupts: BTreeMap<u16, u64>,
}

/// The words that the device stores in its mappable areas.
#[derive(Debug, Default)]
struct Memory {
    words: Mutex<BTreeMap<(u8, u64), u64>>,
}

impl Memory {
    fn load(&self, bar: u8, offset: u64) -> u64 {
        lock(&self.words).get(&(bar, offset)).copied().unwrap_or(0)
    }
}

impl FunctionHost for Outside {
    fn store(&mut self, bar: u8, offset: u64, value: u64) {
        lock(&self.memory.words).insert((bar, offset), value);
    }

    fn load(&mut self, bar: u8, offset: u64) -> u64 {
        self.memory.load(bar, offset)
    }

    fn interrupt(&mut self, vector: u16) {
        *self.interrupts.entry(vector).or_default() += 1;
    }

    /// Nobody looks at what happened in the device.
    fn event(&mut self, _: FunctionEvent) {}
}

impl InProcessDevice {
    /// A device after power-on, with memory decoding and bus mastering switched on; its clock stands
    /// at zero.
    pub fn new(config: &FunctionConfig) -> Result<InProcessDevice, ConfigError> {
        let memory = Arc::<Memory>::default();
        let model = Model {
            function: Function::new(config)?,
            outside: Outside {
                memory: Arc::clone(&memory),
                interrupts: BTreeMap::new(),
            },
            clock_ns: 0,
        };
        let device = InProcessDevice {
            model: Mutex::new(model),
            memory,
            messages: config.interrupts.vectors(),
        };
        device.switch_on();
        Ok(device)
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.model)
    }

    /// The device's clock, in nanoseconds.
    pub fn clock_ns(&self) -> u64 {
        self.model().clock_ns
    }

    /// Lets so many nanoseconds pass; whatever is due meanwhile happens at its own time.
    pub fn advance(&self, nanoseconds: u64) {
        self.model().advance(nanoseconds);
    }

    /// The host accesses its memory, now and in this order.
    pub fn access(&self, accesses: &[Access<Hpa>]) {
        let Model {
            function,
            outside,
            clock_ns,
        } = &mut *self.model();
        function.access(*clock_ns, accesses, outside);
    }

    /// The host physical addresses that each decoder of the device decodes.
    pub fn windows(&self) -> Vec<HpaRange> {
        self.model().function.windows()
    }

    /// What the device has done since power-on.
    pub fn statistics(&self) -> FunctionStatistics {
        self.model().function.statistics()
    }

    fn switch_on(&self) {
        // Configuration space in this process is always reached.
        if let Err(error) = switch_on(self) {
            log::warn!("Cannot switch {NAME} on: {error}");
        }
    }

    fn mappable_areas(&self, bar: u8) -> Vec<Range<u64>> {
        let model = self.model();
        let bar = model.function.bars().get(usize::from(bar));
        bar.map_or_else(Vec::new, |bar| bar.mappable_areas.clone())
    }
}

impl fmt::Debug for InProcessDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessDevice")
            .field("clock_ns", &self.clock_ns())
            .finish_non_exhaustive()
    }
}

impl Transport for InProcessDevice {
    fn device(&self) -> &str {
        NAME
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        let mut data = [0; 4];
        let count = width.bytes().min(4);
        let mut model = self.model();
        model.read(Region::Config, offset.into(), &mut data[..count]);
        Ok(u32::from_le_bytes(data))
    }

    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), TransportError> {
        let count = width.bytes().min(4);
        let data = &value.to_le_bytes()[..count];
        self.model().write(Region::Config, offset.into(), data);
        Ok(())
    }

    fn bar_bytes(&self, bar: u8) -> Result<u64, TransportError> {
        let model = self.model();
        let area = model.function.bars().get(usize::from(bar));
        area.map(|area| area.size_bytes)
            .filter(|&bytes| bytes > 0)
            .ok_or_else(|| TransportError::NoBar {
                device: NAME.into(),
                bar,
            })
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        check_range(place, width.bytes() as u64, self.bar_bytes(place.bar)?)?;
        let mut data = [0; 8];
        let region = Region::Bar(place.bar);
        self.model()
            .read(region, place.offset, &mut data[..width.bytes()]);
        Ok(u64::from_le_bytes(data))
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        check_range(place, width.bytes() as u64, self.bar_bytes(place.bar)?)?;
        let data = &value.to_le_bytes()[..width.bytes()];
        self.model()
            .write(Region::Bar(place.bar), place.offset, data);
        Ok(())
    }

    fn map(&self, place: BarOffset, bytes: u64) -> Result<Box<dyn MappedWords>, TransportError> {
        let end = place.plus(bytes).offset;
        let areas = self.mappable_areas(place.bar);
        let inside = |area: &Range<u64>| area.start <= place.offset && end <= area.end;
        if !areas.iter().any(inside) || !place.offset.is_multiple_of(8) {
            return Err(TransportError::Access {
                action: "map",
                place: place.to_string(),
                bytes,
                source: io::ErrorKind::InvalidInput.into(),
            });
        }
        Ok(Box::new(Words {
            memory: Arc::clone(&self.memory),
            place,
            count: bytes / 8,
        }))
    }

    fn interrupt_messages(&self) -> u16 {
        self.messages
    }

    fn wait_for_interrupt(
        &self,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        if message >= self.messages {
            return Err(TransportError::NoInterrupt {
                device: NAME.into(),
                message,
                available: self.messages,
            });
        }
        let mut model = self.model();
        let end = model.clock_ns.saturating_add(nanoseconds(timeout));
        loop {
            let came = model.take_interrupts(message);
            if came.is_some() {
                return Ok(came);
            }
            if !model.advance_to_deadline(end) {
                let left = end.saturating_sub(model.clock_ns);
                model.advance(left);
                return Ok(model.take_interrupts(message));
            }
        }
    }

    fn reset(&self) -> Result<bool, TransportError> {
        let found = function_level_reset(self)?;
        self.switch_on();
        Ok(found)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.clock_ns())
    }

    fn pause(&self, time: Duration) {
        self.advance(nanoseconds(time));
    }
}

/// What a lock guards; whoever panicked with it has left nothing half done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A mapped area of the device's memory.
#[derive(Debug)]
struct Words {
    memory: Arc<Memory>,
    place: BarOffset,
    count: u64,
}

impl MappedWords for Words {
    fn len(&self) -> u64 {
        self.count
    }

    fn read(&self, index: u64) -> Option<u64> {
        let place = self.place.plus(index.checked_mul(8)?);
        (index < self.count).then(|| self.memory.load(place.bar, place.offset))
    }
}
