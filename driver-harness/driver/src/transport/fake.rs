// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A function made of plain bytes, for tests of what hostile devices show.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{BarOffset, MappedWords, Transport, TransportError, Width, check_range};

/// What the bytes of a memory area do when a place in them was written.
type Reaction = Box<dyn Fn(&mut [u8], u64) + Send + Sync>;

/// A function made of plain bytes.
pub(crate) struct FakeFunction {
    pub(crate) config: Vec<u8>,
    bars: [Arc<Mutex<Vec<u8>>>; 6],
    reaction: Option<Reaction>,
    clock: Mutex<Duration>,
    can_map: bool,
}

impl FakeFunction {
    /// All zeroes, with BAR4 of this size.
    pub(crate) fn new(bar4_bytes: usize) -> FakeFunction {
        let function = FakeFunction {
            config: vec![0; 4096],
            bars: Default::default(),
            reaction: None,
            clock: Mutex::default(),
            can_map: true,
        };
        function.bars[4].lock().unwrap().resize(bar4_bytes, 0);
        function
    }

    /// Calls `reaction` with the bytes of BAR4 and the offset of each write.
    pub(crate) fn reacting(
        mut self,
        reaction: impl Fn(&mut [u8], u64) + Send + Sync + 'static,
    ) -> FakeFunction {
        self.reaction = Some(Box::new(reaction));
        self
    }

    /// Refuses to map anything.
    pub(crate) fn without_maps(mut self) -> FakeFunction {
        self.can_map = false;
        self
    }

    /// Resizes a memory area.
    pub(crate) fn resize(&self, bar: usize, bytes: usize) {
        self.bars[bar].lock().unwrap().resize(bytes, 0);
    }

    /// Stores a 64-bit word without any reaction.
    pub(crate) fn put(&self, bar: usize, offset: usize, value: u64) {
        self.bars[bar].lock().unwrap()[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// Stores a 32-bit word without any reaction.
    pub(crate) fn put_dword(&self, bar: usize, offset: usize, value: u32) {
        self.bars[bar].lock().unwrap()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// A 64-bit word.
    pub(crate) fn word(&self, bar: usize, offset: usize) -> u64 {
        word(&self.bars[bar].lock().unwrap(), offset)
    }
}

/// A 64-bit word of some bytes.
pub(crate) fn word(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

impl std::fmt::Debug for FakeFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeFunction").finish_non_exhaustive()
    }
}

impl Transport for FakeFunction {
    fn device(&self) -> &str {
        "0000:35:00.0"
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        let mut bytes = [0; 4];
        let at = usize::from(offset);
        bytes[..width.bytes()].copy_from_slice(&self.config[at..at + width.bytes()]);
        Ok(u32::from_le_bytes(bytes))
    }

    fn write_config(&self, _: u16, _: Width, _: u32) -> Result<(), TransportError> {
        Ok(())
    }

    fn bar_bytes(&self, bar: u8) -> Result<u64, TransportError> {
        match self.bars[usize::from(bar)].lock().unwrap().len() {
            0 => Err(TransportError::NoBar {
                device: self.device().into(),
                bar,
            }),
            bytes => Ok(bytes as u64),
        }
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        check_range(place, width.bytes() as u64, self.bar_bytes(place.bar)?)?;
        let at = usize::try_from(place.offset).unwrap();
        let mut bytes = [0; 8];
        let bar = self.bars[usize::from(place.bar)].lock().unwrap();
        bytes[..width.bytes()].copy_from_slice(&bar[at..at + width.bytes()]);
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        check_range(place, width.bytes() as u64, self.bar_bytes(place.bar)?)?;
        let at = usize::try_from(place.offset).unwrap();
        let mut bar = self.bars[usize::from(place.bar)].lock().unwrap();
        bar[at..at + width.bytes()].copy_from_slice(&value.to_le_bytes()[..width.bytes()]);
        if let Some(reaction) = &self.reaction {
            reaction(&mut bar, place.offset);
        }
        Ok(())
    }

    fn map(&self, place: BarOffset, bytes: u64) -> Result<Box<dyn MappedWords>, TransportError> {
        let bar_bytes = if self.can_map {
            self.bar_bytes(place.bar)?
        } else {
            0
        };
        check_range(place, bytes, bar_bytes)?;
        Ok(Box::new(Words {
            bar: Arc::clone(&self.bars[usize::from(place.bar)]),
            place,
            bytes,
        }))
    }

    fn interrupt_messages(&self) -> u16 {
        0
    }

    fn wait_for_interrupt(
        &self,
        message: u16,
        _timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        Err(TransportError::NoInterrupt {
            device: self.device().into(),
            message,
            available: 0,
        })
    }

    fn reset(&self) -> Result<bool, TransportError> {
        Ok(false)
    }

    fn now(&self) -> Duration {
        *self.clock.lock().unwrap()
    }

    fn pause(&self, time: Duration) {
        *self.clock.lock().unwrap() += time;
    }
}

struct Words {
    bar: Arc<Mutex<Vec<u8>>>,
    place: BarOffset,
    bytes: u64,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Words").finish_non_exhaustive()
    }
}

impl MappedWords for Words {
    fn len(&self) -> u64 {
        self.bytes / 8
    }

    fn read(&self, index: u64) -> Option<u64> {
        let inside = index < self.len();
        let at = self.place.plus(index.checked_mul(8)?).offset;
        inside.then(|| word(&self.bar.lock().unwrap(), usize::try_from(at).unwrap()))
    }
}
