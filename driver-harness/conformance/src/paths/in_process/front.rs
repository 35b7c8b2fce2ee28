// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What stands between the suite and the model's registers: nothing, or something that makes the
//! device another one.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chmu_driver::transport::in_process::InProcessDevice;
use chmu_driver::transport::{BarOffset, Layer, Transport, TransportError, Width};
use chmu_spec::access::Access;
use chmu_spec::address::Hpa;

use super::surroundings::{Clock, Others, Surroundings};

/// So many requests are made without a stall between them.
const REQUESTS_AT_ONCE: usize = 64;
/// Others use the memory so often.
const OTHERS_PERIOD_NS: u64 = 20_000_000;

/// Stands between the suite and the model's registers.
pub trait Front: Debug + Send + Sync {
    /// Bytes of a BAR, made of what the model has.
    fn bar_bytes(&self, _bar: u8, bytes: u64) -> u64 {
        bytes
    }

    /// Reads a register.
    ///
    /// # Errors
    /// As [`Transport::read`].
    fn read(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
    ) -> Result<u64, TransportError> {
        device.read(place, width)
    }

    /// Writes a register.
    ///
    /// # Errors
    /// As [`Transport::write`].
    fn write(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
        value: u64,
    ) -> Result<(), TransportError> {
        device.write(place, width, value)
    }

    /// Requests that are about to reach the device: whether they do.
    fn lets_requests_through(&self, _device: &InProcessDevice) -> bool {
        true
    }

    /// Waits for an interrupt.
    ///
    /// # Errors
    /// As [`Transport::wait_for_interrupt`].
    fn wait_for_interrupt(
        &self,
        device: &InProcessDevice,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        device.wait_for_interrupt(message, timeout)
    }

    /// The function was reset, or powered on.
    fn was_reset(&self, _device: &InProcessDevice) {}
}

/// Nothing at all.
#[derive(Debug)]
pub(super) struct Plain;

impl Front for Plain {}

/// A model behind a front, on a machine.
#[derive(Debug)]
pub struct Fronted {
    device: InProcessDevice,
    front: Box<dyn Front>,
    surroundings: Surroundings,
    /// The machine's clock.
    now_ns: AtomicU64,
    /// What the next stall depends on.
    stall_random: Mutex<fastrand::Rng>,
}

impl Fronted {
    pub(super) fn new(
        device: InProcessDevice,
        front: Box<dyn Front>,
        surroundings: Surroundings,
    ) -> Self {
        front.was_reset(&device);
        let seed = surroundings.pace.stalls.map_or(0, |stalls| stalls.seed);
        Self {
            device,
            front,
            surroundings,
            now_ns: AtomicU64::new(0),
            stall_random: Mutex::new(fastrand::Rng::with_seed(seed)),
        }
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        self.surroundings
    }

    /// Lets time of the machine pass; others use the memory meanwhile.
    fn pass(&self, nanoseconds: u64) {
        let Surroundings { clock, others, .. } = self.surroundings;
        let mut left = nanoseconds;
        while left > 0 {
            let now = self.now_ns.load(Ordering::Relaxed);
            let piece = match others {
                Others::NONE => left,
                _ => left.min(OTHERS_PERIOD_NS - now % OTHERS_PERIOD_NS),
            };
            self.now_ns
                .store(now.saturating_add(piece), Ordering::Relaxed);
            self.device.advance(clock.device_ns(now, piece));
            left -= piece;
            let is_due = now.saturating_add(piece).is_multiple_of(OTHERS_PERIOD_NS);
            if others != Others::NONE && is_due {
                self.device.access(&others.accesses());
            }
        }
    }

    fn pass_for_work(&self, nanoseconds: u64) {
        if self.surroundings.clock != Clock::ByHand {
            self.pass(nanoseconds + self.stall_ns());
        }
    }

    /// What the machine does for others at this moment.
    fn stall_ns(&self) -> u64 {
        self.surroundings.pace.stalls.map_or(0, |stalls| {
            let random = self.stall_random.lock();
            stalls.lost_ns(&mut random.unwrap_or_else(PoisonError::into_inner))
        })
    }

    /// The suite's requests.
    pub(super) fn make(&self, accesses: &[Access<Hpa>]) {
        let passes = self.front.lets_requests_through(&self.device);
        let together = match self.surroundings.pace.stalls {
            None => accesses.len(),
            Some(_) => REQUESTS_AT_ONCE,
        };
        for accesses in accesses.chunks(together.max(1)) {
            if passes {
                self.device.access(accesses);
                for _ in 0..self.surroundings.others.repeats {
                    self.device.access(accesses);
                }
            }
            let request_ns = self.surroundings.pace.request_ns;
            self.pass_for_work(request_ns.saturating_mul(accesses.len() as u64));
        }
    }
}

impl Layer for Fronted {
    fn below(&self) -> &dyn Transport {
        &self.device
    }

    fn bar_bytes(&self, bar: u8) -> Result<u64, TransportError> {
        let bytes = self.device.bar_bytes(bar)?;
        Ok(self.front.bar_bytes(bar, bytes))
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        self.pass_for_work(self.surroundings.pace.access_ns);
        self.front.read(&self.device, place, width)
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        self.pass_for_work(self.surroundings.pace.access_ns);
        self.front.write(&self.device, place, width, value)
    }

    fn wait_for_interrupt(
        &self,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        let none = Duration::ZERO;
        let came = self.front.wait_for_interrupt(&self.device, message, none)?;
        if came.is_some() || timeout.is_zero() {
            return Ok(came);
        }
        Layer::pause(self, timeout);
        self.front.wait_for_interrupt(&self.device, message, none)
    }

    fn reset(&self) -> Result<bool, TransportError> {
        let done = self.device.reset()?;
        self.front.was_reset(&self.device);
        Ok(done)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns.load(Ordering::Relaxed))
    }

    fn pause(&self, time: Duration) {
        let asked = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.pass(asked.saturating_add(self.stall_ns()));
    }
}
