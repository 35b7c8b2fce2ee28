// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The producer of accesses, which answers whatever the device asks of it before the next access
//! to a register: an enable waits for that answer.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chmu_driver::transport::socket::SocketTransport;
use chmu_driver::transport::{BarOffset, Layer, Transport, TransportError, Width};
use chmu_ring::{Arming, RingProducer};

/// A producer and what it answered last.
#[derive(Debug)]
pub(super) struct Producer {
    producer: chmu_ring::Producer,
    answered: Mutex<Option<Arming>>,
}

impl Producer {
    /// Attaches to the access socket at `path`; returns the first ring, too.
    pub(super) fn connect(path: &Path) -> Result<(Self, RingProducer), chmu_ring::Error> {
        let mut producer = chmu_ring::Producer::connect(path)?;
        let ring = producer.ring(0)?;
        let answered = Mutex::new(None);
        Ok((Self { producer, answered }, ring))
    }

    /// Tells the device that what it asked for last is in effect.
    pub(super) fn answer(&self) {
        let arming = self.producer.arming();
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.replace(arming) != Some(arming) {
            self.producer.acknowledge(arming);
        }
    }

    /// Whether the device wants accesses.
    pub(super) fn is_armed(&self) -> bool {
        self.producer.arming().is_armed()
    }
}

/// Registers of a device whose producer answers at once.
pub(super) struct AnsweredTransport {
    pub(super) transport: Arc<SocketTransport>,
    /// None where there is no producer.
    pub(super) producer: Option<Arc<Producer>>,
}

impl AnsweredTransport {
    fn answered<T>(&self, outcome: Result<T, TransportError>) -> Result<T, TransportError> {
        if let Some(producer) = &self.producer {
            producer.answer();
        }
        outcome
    }
}

impl fmt::Debug for AnsweredTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.transport.fmt(f)
    }
}

impl Layer for AnsweredTransport {
    fn below(&self) -> &dyn Transport {
        &*self.transport
    }

    /// Reads are those of the device.
    fn read_words(&self, place: BarOffset, words: &mut [u64]) -> Result<(), TransportError> {
        self.transport.read_words(place, words)
    }

    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), TransportError> {
        self.answered(self.transport.write_config(offset, width, value))
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        self.answered(self.transport.write(place, width, value))
    }

    fn reset(&self) -> Result<bool, TransportError> {
        self.answered(self.transport.reset())
    }
}
