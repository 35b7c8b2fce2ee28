// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! MSI-X vectors as eventfds of the connected client.

use std::fs::File;
use std::io;
use std::num::Saturating;
use std::os::fd::AsRawFd;

use chmu_ring::sealed_memory_file;
use vmm_sys_util::aio::{IoContext, IoControlBlock, IoEvent};
use vmm_sys_util::eventfd::EventFd;

/// Read at an offset, in `aio_lio_opcode` (`linux/aio_abi.h`).
const IOCB_CMD_PREAD: u16 = 0;
/// Signal `aio_resfd` at the end, in `aio_flags`.
const IOCB_FLAG_RESFD: u32 = 1;

/// The eventfd of each vector, if it has one.
#[derive(Debug)]
pub(crate) struct Vectors {
    events: Vec<Option<EventFd>>,
    /// None where there are no vectors.
    signaller: Option<Signaller>,
    sent: Saturating<u64>,
    unconnected: Saturating<u64>,
}

impl Vectors {
    /// `count` vectors, none of them connected.
    ///
    /// # Errors
    /// When the kernel does not give what they are signalled by.
    pub(crate) fn new(count: u16) -> io::Result<Self> {
        let events = std::iter::repeat_with(|| None).take(usize::from(count));
        Ok(Self {
            events: events.collect(),
            signaller: (count > 0).then(Signaller::new).transpose()?,
            sent: Saturating(0),
            unconnected: Saturating(0),
        })
    }

    /// Connects a vector with an eventfd, or with nothing.
    pub(crate) fn connect(&mut self, vector: u16, event: Option<EventFd>) {
        if let Some(place) = self.events.get_mut(usize::from(vector)) {
            *place = event;
        }
    }

    /// Forgets the eventfds of all vectors, as when the client leaves.
    pub(crate) fn disconnect_all(&mut self) {
        self.events.fill_with(|| None);
    }

    /// Signals a vector. Like a masked interrupt, a vector without an eventfd stays silent.
    pub(crate) fn raise(&mut self, vector: u16) {
        let event = self.events.get(usize::from(vector));
        let event = event.and_then(Option::as_ref);
        match event.zip(self.signaller.as_ref()) {
            Some((event, signaller)) if signaller.signal(event) => self.sent += 1,
            _ => self.unconnected += 1,
        }
    }

    /// Interrupts that were signalled since the start.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.0
    }

    /// Interrupts that had no eventfd to signal.
    pub(crate) fn unconnected(&self) -> u64 {
        self.unconnected.0
    }
}

/// Signals eventfds that the client shares, and never waits for it.
///
/// A write to an eventfd waits while its counter is full, and only the flags that the client may
/// change at any time prevent that. What the kernel does itself waits never: here it signals the
/// eventfd as the end of an asynchronous read of nothing. It refuses whatever is no eventfd.
#[derive(Debug)]
struct Signaller {
    context: IoContext,
    nothing: File,
}

impl Signaller {
    fn new() -> io::Result<Self> {
        Ok(Self {
            context: IoContext::new(1)?,
            nothing: sealed_memory_file(c"chmu-interrupts", 0)?,
        })
    }

    /// Signals an eventfd; returns whether it is one.
    fn signal(&self, event: &EventFd) -> bool {
        let descriptor = |file: &dyn AsRawFd| u32::try_from(file.as_raw_fd()).unwrap_or(u32::MAX);
        let mut request = IoControlBlock {
            aio_lio_opcode: IOCB_CMD_PREAD,
            aio_fildes: descriptor(&self.nothing),
            aio_flags: IOCB_FLAG_RESFD,
            aio_resfd: descriptor(event),
            ..IoControlBlock::default()
        };
        let signalled = self.context.submit(&[&mut request]);
        // The read is over by now; its result makes room for the next one.
        let now = &mut libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let taken = self
            .context
            .get_events(0, &mut [IoEvent::default()], Some(now));
        matches!((signalled, taken), (Ok(1), Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{FromRawFd, IntoRawFd};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    use super::*;

    #[test]
    fn connected_vectors_are_signalled() {
        let event = EventFd::new(EFD_NONBLOCK).unwrap();
        let mut vectors = Vectors::new(2).unwrap();
        vectors.connect(1, Some(event.try_clone().unwrap()));
        vectors.raise(0);
        vectors.raise(1);
        vectors.raise(7);
        assert_eq!((vectors.sent(), vectors.unconnected()), (1, 2));
        assert_eq!(event.read().unwrap(), 1);
        for _ in 0..1000 {
            vectors.raise(1);
        }
        assert_eq!(event.read().unwrap(), 1000);
        vectors.disconnect_all();
        vectors.raise(1);
        assert!(event.read().is_err());
    }

    #[test]
    fn a_full_eventfd_does_not_block() {
        let event = EventFd::new(0).unwrap();
        event.write(u64::MAX - 1).unwrap();
        let mut vectors = Vectors::new(1).unwrap();
        vectors.connect(0, Some(event));
        vectors.raise(0);
        vectors.raise(0);
        assert_eq!((vectors.sent(), vectors.unconnected()), (2, 0));
    }

    #[test]
    fn what_is_no_eventfd_is_left_alone() {
        let (_reader, writer) = io::pipe().unwrap();
        // SAFETY: the pipe's end was just made, and nobody else has it.
        let event = unsafe { EventFd::from_raw_fd(writer.into_raw_fd()) };
        let mut vectors = Vectors::new(1).unwrap();
        vectors.connect(0, Some(event));
        vectors.raise(0);
        assert_eq!((vectors.sent(), vectors.unconnected()), (0, 1));
    }

    /// A client fills its blocking eventfd at any moment, and empties it only when the device goes
    /// on meanwhile.
    #[test]
    fn a_client_that_fills_its_eventfd_at_any_moment_holds_up_nobody() {
        const ROUNDS: u64 = 3000;
        const PATIENCE: Duration = Duration::from_secs(20);
        let event = EventFd::new(0).unwrap();
        let set_flags = |flags: libc::c_int| {
            // SAFETY: the descriptor is open; the command takes a number.
            let outcome = unsafe { libc::fcntl(event.as_raw_fd(), libc::F_SETFL, flags) };
            assert_eq!(outcome, 0);
        };
        let mut vectors = Vectors::new(1).unwrap();
        vectors.connect(0, Some(event.try_clone().unwrap()));
        let raised = &AtomicU64::new(0);
        let done = &AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    vectors.raise(0);
                    raised.fetch_add(1, Ordering::Relaxed);
                }
            });
            for round in 0..ROUNDS {
                set_flags(libc::O_NONBLOCK);
                while event.write(u64::MAX - 1).is_err() {
                    let _ = event.read();
                }
                set_flags(0);
                let start = Instant::now();
                let goal = raised.load(Ordering::Relaxed) + 2;
                while raised.load(Ordering::Relaxed) < goal && start.elapsed() < PATIENCE {
                    thread::yield_now();
                }
                let stuck = raised.load(Ordering::Relaxed) < goal;
                event.read().unwrap();
                done.store(stuck || round + 1 == ROUNDS, Ordering::Relaxed);
                assert!(!stuck, "in round {round}");
            }
        });
    }
}
