// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What stands between a driver and a path to a device.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::{BarOffset, MappedWords, Transport, TransportError, WORD_BYTES, Width};

/// A [`Transport`] on top of another one: what it does not say itself, the one below does.
#[expect(
    clippy::missing_errors_doc,
    reason = "each fails as the method of Transport does"
)]
pub trait Layer: Debug + Send + Sync {
    /// The path below.
    fn below(&self) -> &dyn Transport;

    /// As [`Transport::read_config`].
    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        self.below().read_config(offset, width)
    }

    /// As [`Transport::write_config`].
    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), TransportError> {
        self.below().write_config(offset, width, value)
    }

    /// As [`Transport::bar_bytes`].
    fn bar_bytes(&self, bar: u8) -> Result<u64, TransportError> {
        self.below().bar_bytes(bar)
    }

    /// As [`Transport::read`].
    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        self.below().read(place, width)
    }

    /// As [`Transport::read_words`]. By [`Layer::read`], so that a layer which answers reads itself answers
    /// these, too.
    fn read_words(&self, place: BarOffset, words: &mut [u64]) -> Result<(), TransportError> {
        for (index, word) in (0_u64..).zip(words) {
            let place = place.plus(index.saturating_mul(WORD_BYTES));
            *word = Layer::read(self, place, Width::Eight)?;
        }
        Ok(())
    }

    /// As [`Transport::write`].
    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        self.below().write(place, width, value)
    }

    /// As [`Transport::wait_for_interrupt`].
    fn wait_for_interrupt(
        &self,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        self.below().wait_for_interrupt(message, timeout)
    }

    /// As [`Transport::reset`].
    fn reset(&self) -> Result<bool, TransportError> {
        self.below().reset()
    }

    /// As [`Transport::now`].
    fn now(&self) -> Duration {
        self.below().now()
    }

    /// As [`Transport::pause`].
    fn pause(&self, time: Duration) {
        self.below().pause(time);
    }
}

impl<L: Layer> Transport for L {
    fn device(&self) -> &str {
        self.below().device()
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        Layer::read_config(self, offset, width)
    }

    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), TransportError> {
        Layer::write_config(self, offset, width, value)
    }

    fn bar_bytes(&self, bar: u8) -> Result<u64, TransportError> {
        Layer::bar_bytes(self, bar)
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        Layer::read(self, place, width)
    }

    fn read_words(&self, place: BarOffset, words: &mut [u64]) -> Result<(), TransportError> {
        Layer::read_words(self, place, words)
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        Layer::write(self, place, width, value)
    }

    fn map(&self, place: BarOffset, bytes: u64) -> Result<Box<dyn MappedWords>, TransportError> {
        self.below().map(place, bytes)
    }

    fn interrupt_messages(&self) -> u16 {
        self.below().interrupt_messages()
    }

    fn wait_for_interrupt(
        &self,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        Layer::wait_for_interrupt(self, message, timeout)
    }

    fn reset(&self) -> Result<bool, TransportError> {
        Layer::reset(self)
    }

    fn interrupt_event(&self, message: u16) -> Option<BorrowedFd<'_>> {
        self.below().interrupt_event(message)
    }

    fn now(&self) -> Duration {
        Layer::now(self)
    }

    fn pause(&self, time: Duration) {
        Layer::pause(self, time);
    }
}
