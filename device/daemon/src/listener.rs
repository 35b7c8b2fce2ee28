// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Listening sockets in the event loop.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use event_manager::{EventOps, EventSet};

use crate::alarm::Alarm;
use crate::events::{unwatch, watch};

/// How long callers wait until this process tries again after it could not take one.
const RETRY_PERIOD: Duration = Duration::from_millis(200);

/// A listening socket. While callers cannot be taken, for want of descriptors for example, it
/// looks for them now and then only.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    /// Who connects here, in the log.
    who: &'static str,
    retry: Alarm,
    is_watched: bool,
    is_in_trouble: bool,
}

impl Listener {
    /// Makes `socket` non-blocking; the log calls its callers `who`.
    ///
    /// # Errors
    /// When that fails, or the kernel gives no timer.
    pub(crate) fn new(socket: UnixListener, who: &'static str) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            who,
            retry: Alarm::new()?,
            is_watched: false,
            is_in_trouble: false,
        })
    }

    /// Has the arrival of callers delivered.
    pub(crate) fn start(&mut self, ops: &mut EventOps) {
        watch(ops, self.retry.as_raw_fd(), EventSet::IN);
        self.watch(true, ops);
    }

    /// Has the arrival of callers delivered, or no longer.
    pub(crate) fn watch(&mut self, wanted: bool, ops: &mut EventOps) {
        if wanted == self.is_watched {
            return;
        }
        self.is_watched = wanted;
        if wanted {
            watch(ops, self.socket.as_raw_fd(), EventSet::IN);
        } else {
            unwatch(ops, self.socket.as_raw_fd());
        }
    }

    /// Whether the events of a descriptor are for [`Listener::accept`].
    pub(crate) fn owns(&self, descriptor: RawFd) -> bool {
        [self.socket.as_raw_fd(), self.retry.as_raw_fd()].contains(&descriptor)
    }

    /// Takes a caller who waits, as a non-blocking stream.
    pub(crate) fn accept(&mut self, ops: &mut EventOps) -> Option<UnixStream> {
        let accepted = self.socket.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        match accepted {
            Ok(stream) => {
                if std::mem::take(&mut self.is_in_trouble) {
                    log::warn!("{} can be accepted again", self.who);
                }
                self.go_on(ops);
                Some(stream)
            }
            Err(error) if is_passing(&error) => {
                self.go_on(ops);
                None
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_in_trouble, true) {
                    log::warn!("{} cannot be accepted and waits: {error}", self.who);
                }
                // A caller who waits would wake the event loop without end.
                self.watch(false, ops);
                self.retry.set(Instant::now().checked_add(RETRY_PERIOD));
                None
            }
        }
    }

    fn go_on(&mut self, ops: &mut EventOps) {
        self.retry.set(None);
        self.watch(true, ops);
    }
}

/// Whether the next caller may fare better at once.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::rc::Rc;

    use event_manager::{EventManager, Events, MutEventSubscriber, SubscriberOps};

    use super::*;

    struct Accepting(Listener);

    impl MutEventSubscriber for Accepting {
        fn process(&mut self, _: Events, ops: &mut EventOps) {
            assert!(self.0.accept(ops).is_none());
        }

        fn init(&mut self, ops: &mut EventOps) {
            self.0.start(ops);
        }
    }

    #[test]
    fn a_caller_who_cannot_be_taken_does_not_keep_the_process_busy() {
        // A connected socket with something to read looks like one with a caller and has none.
        let (socket, mut other) = UnixStream::pair().unwrap();
        other.write_all(b"x").unwrap();
        let socket = UnixListener::from(OwnedFd::from(socket));
        let listener = Listener::new(socket, "A client").unwrap();
        let accepting = Rc::new(RefCell::new(Accepting(listener)));
        let mut events = EventManager::new().unwrap();
        events.add_subscriber(accepting.clone());
        assert_eq!(events.run_with_timeout(0).unwrap(), 1);
        assert_eq!(events.run_with_timeout(0).unwrap(), 0);
        assert!(accepting.borrow().0.is_in_trouble);
        // It tries again all the same.
        assert_eq!(events.run().unwrap(), 1);
    }
}
