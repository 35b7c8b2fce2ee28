// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Stands between cases and the device: ends a case that takes too long or that nobody wants to wait for any
//! more, and remembers what was done to the device.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use chmu_driver::transport::{BarOffset, Layer, Transport, TransportError, Width};
use chmu_spec::address::Dpa;
use chmu_spec::hotlist::ENTRY_BYTES;

use crate::accesses::{AccessLog, Action};
use crate::subject::{Request, Subject, Traffic};

/// How long a signal may go unseen while time passes.
const NOTICE: Duration = Duration::from_millis(50);

/// So many words are read without looking whether the case has to end.
const WORDS_AT_ONCE: usize = 512;

/// Why a case was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Somebody wants the run to end.
    Stopped,
    /// The case took longer than this.
    TooLong(Duration),
}

/// A device under test with a guard before it.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    subject: &'a mut dyn Subject,
    transport: GuardedTransport<'a>,
    /// Device memory that traffic reaches, without and with TEE requests.
    reachable: [Vec<Range<Dpa>>; 2],
    /// Whether traffic is exact, if there is any.
    exact: Option<bool>,
}

/// Its registers.
#[derive(Debug)]
struct GuardedTransport<'a> {
    transport: Arc<dyn Transport>,
    watch: &'a Watch<'a>,
}

/// What is known of the case that runs; a run keeps it while its bench has the guard.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    stop: Option<&'a AtomicBool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the case has to be over, and how long it may take.
    deadline: Option<(Instant, Duration)>,
    halted: Option<Halt>,
    /// Nothing is ended: the device is put back.
    at_ease: bool,
    log: Option<AccessLog>,
}

impl<'a> Watch<'a> {
    /// Looks for `stop`, and remembers accesses if `logs` says so.
    pub(crate) fn new(stop: Option<&'a AtomicBool>, logs: bool) -> Self {
        Self {
            stop,
            state: Mutex::new(State {
                log: logs.then(AccessLog::default),
                ..State::default()
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A case begins, which may take so long.
    pub(crate) fn begin_case(&self, budget: Option<Duration>) {
        let mut state = self.state();
        state.halted = None;
        state.deadline = budget.map(|budget| (Instant::now() + budget, budget));
        if let Some(log) = &mut state.log {
            log.clear();
        }
    }

    /// The case is over; why it was ended, if it was.
    pub(crate) fn end_case(&self) -> Option<Halt> {
        let mut state = self.state();
        state.deadline = None;
        state.halted.take()
    }

    /// From now on nothing is ended.
    pub(crate) fn be_at_ease(&self) {
        self.state().at_ease = true;
    }

    /// What was done to the device since the case began.
    pub(crate) fn take_log(&self) -> Option<AccessLog> {
        self.state().log.as_mut().map(std::mem::take)
    }

    /// Whether the case has to end.
    fn halts(&self) -> bool {
        let mut state = self.state();
        if state.at_ease {
            return false;
        }
        if state.halted.is_none() {
            if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                state.halted = Some(Halt::Stopped);
            } else if let Some((deadline, budget)) = state.deadline
                && Instant::now() >= deadline
            {
                state.halted = Some(Halt::TooLong(budget));
            }
        }
        state.halted.is_some()
    }

    fn note(&self, action: impl FnOnce() -> Action) {
        if let Some(log) = &mut self.state().log {
            log.push(action());
        }
    }
}

impl<'a> Guard<'a> {
    /// Guards a device.
    pub(crate) fn new(subject: &'a mut dyn Subject, watch: &'a Watch<'a>) -> Self {
        let exact = subject.traffic().map(|traffic| traffic.is_exact());
        let reachable = [false, true].map(|tee| {
            let traffic = subject.traffic();
            traffic.map_or_else(Vec::new, |traffic| traffic.reachable(tee).to_vec())
        });
        let transport = GuardedTransport {
            transport: subject.shared_transport(),
            watch,
        };
        Self {
            subject,
            transport,
            reachable,
            exact,
        }
    }
}

impl GuardedTransport<'_> {
    /// Lets an access through, unless the case has to end.
    fn pass(&self) -> Result<(), TransportError> {
        match self.watch.halts() {
            false => Ok(()),
            true => Err(TransportError::GivenUp {
                device: self.transport.device().to_owned(),
            }),
        }
    }
}

impl Layer for GuardedTransport<'_> {
    fn below(&self) -> &dyn Transport {
        &*self.transport
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        self.pass()?;
        let value = self.transport.read_config(offset, width)?;
        self.watch.note(|| Action::ConfigRead(offset, width, value));
        Ok(value)
    }

    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), TransportError> {
        self.pass()?;
        self.watch
            .note(|| Action::ConfigWrite(offset, width, value));
        self.transport.write_config(offset, width, value)
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        self.pass()?;
        let value = self.transport.read(place, width)?;
        self.watch.note(|| Action::Read(place, width, value));
        Ok(value)
    }

    fn read_words(&self, place: BarOffset, words: &mut [u64]) -> Result<(), TransportError> {
        let mut place = place;
        for words in words.chunks_mut(WORDS_AT_ONCE) {
            self.pass()?;
            self.transport.read_words(place, words)?;
            for word in words {
                self.watch.note(|| Action::Read(place, Width::Eight, *word));
                place = place.plus(ENTRY_BYTES);
            }
        }
        Ok(())
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        self.pass()?;
        self.watch.note(|| Action::Write(place, width, value));
        self.transport.write(place, width, value)
    }

    fn wait_for_interrupt(
        &self,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError> {
        let mut left = timeout;
        loop {
            self.pass()?;
            let step = left.min(NOTICE);
            let came = self.transport.wait_for_interrupt(message, step)?;
            left -= step;
            if came.is_some() || left.is_zero() {
                self.watch
                    .note(|| Action::Interrupts(message, came.unwrap_or(0)));
                return Ok(came);
            }
        }
    }

    fn reset(&self) -> Result<bool, TransportError> {
        self.pass()?;
        self.watch.note(|| Action::Reset);
        self.transport.reset()
    }
}

impl Subject for Guard<'_> {
    fn path(&self) -> &'static str {
        self.subject.path()
    }

    fn transport(&self) -> &dyn Transport {
        &self.transport
    }

    fn shared_transport(&self) -> Arc<dyn Transport> {
        self.subject.shared_transport()
    }

    fn traffic(&mut self) -> Option<&mut dyn Traffic> {
        self.exact?;
        Some(self)
    }

    fn memory_bytes(&self) -> u64 {
        self.subject.memory_bytes()
    }

    fn keeps_decoders(&self) -> bool {
        self.subject.keeps_decoders()
    }

    fn pass_time(&mut self, time: Duration) -> Result<()> {
        self.transport.watch.note(|| Action::Time(time));
        if self.subject.has_manual_clock() {
            self.transport.pass()?;
            return self.subject.pass_time(time);
        }
        let mut left = time;
        loop {
            self.transport.pass()?;
            let step = left.min(NOTICE);
            self.subject.pass_time(step)?;
            left -= step;
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn has_manual_clock(&self) -> bool {
        self.subject.has_manual_clock()
    }

    fn clock(&self) -> Option<Duration> {
        self.subject.clock()
    }

    fn reset_function(&mut self) -> Result<bool> {
        self.transport.pass()?;
        self.transport.watch.note(|| Action::Reset);
        self.subject.reset_function()
    }
}

impl Traffic for Guard<'_> {
    fn reachable(&self, tee: bool) -> &[Range<Dpa>] {
        &self.reachable[usize::from(tee)]
    }

    fn is_exact(&self) -> bool {
        self.exact == Some(true)
    }

    fn perform(&mut self, requests: &[Request]) -> Result<()> {
        self.transport.pass()?;
        if let Some(first) = requests.first() {
            self.transport
                .watch
                .note(|| Action::Requests(*first, requests.len()));
        }
        match self.subject.traffic() {
            Some(traffic) => traffic.perform(requests),
            None => bail!("The traffic source is gone"),
        }
    }
}
