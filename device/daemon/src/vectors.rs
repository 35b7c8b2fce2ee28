// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! MSI-X vectors as eventfds of the connected client.

use std::os::fd::AsRawFd;

use vmm_sys_util::eventfd::EventFd;

/// The eventfd of each vector, if it has one.
#[derive(Debug)]
pub(crate) struct Vectors {
    events: Vec<Option<EventFd>>,
    sent: u64,
    unconnected: u64,
}

impl Vectors {
    /// `count` vectors, none of them connected.
    pub(crate) fn new(count: u16) -> Self {
        let events = std::iter::repeat_with(|| None).take(usize::from(count));
        Self {
            events: events.collect(),
            sent: 0,
            unconnected: 0,
        }
    }

    /// Connects a vector with an eventfd, or with nothing.
    pub(crate) fn connect(&mut self, vector: u16, event: Option<EventFd>) {
        if let Some(place) = self.events.get_mut(usize::from(vector)) {
            *place = event;
        }
    }

    /// Disconnects all vectors.
    pub(crate) fn disconnect_all(&mut self) {
        self.events.fill_with(|| None);
    }

    /// Signals a vector. Like a masked interrupt, a vector without an eventfd stays silent.
    pub(crate) fn raise(&mut self, vector: u16) {
        let event = self.events.get(usize::from(vector));
        match event.and_then(Option::as_ref) {
            Some(event) if signal(event) => self.sent = self.sent.saturating_add(1),
            _ => self.unconnected = self.unconnected.saturating_add(1),
        }
    }

    /// Interrupts that were signalled.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Interrupts that had no eventfd to signal.
    pub(crate) fn unconnected(&self) -> u64 {
        self.unconnected
    }
}

/// Signals an eventfd without waiting: a client may have filled its counter, and then the signal it
/// wants is pending already. A client that fills it between the two calls, on purpose, stops the
/// device until it reads; making the eventfd non-blocking would change it for the client, too.
fn signal(event: &EventFd) -> bool {
    let mut request = libc::pollfd {
        fd: event.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: `request` is one pollfd and lives through the call.
    let ready = unsafe { libc::poll(&raw mut request, 1, 0) };
    ready == 1 && (request.revents & libc::POLLOUT == 0 || event.write(1).is_ok())
}

#[cfg(test)]
mod tests {
    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    use super::*;

    #[test]
    fn connected_vectors_are_signalled() {
        let event = EventFd::new(EFD_NONBLOCK).unwrap();
        let mut vectors = Vectors::new(2);
        vectors.connect(1, Some(event.try_clone().unwrap()));
        vectors.raise(0);
        vectors.raise(1);
        vectors.raise(7);
        assert_eq!((vectors.sent(), vectors.unconnected()), (1, 2));
        assert_eq!(event.read().unwrap(), 1);
        vectors.disconnect_all();
        vectors.raise(1);
        assert!(event.read().is_err());
    }

    #[test]
    fn a_full_eventfd_does_not_block() {
        let event = EventFd::new(0).unwrap();
        event.write(u64::MAX - 1).unwrap();
        let mut vectors = Vectors::new(1);
        vectors.connect(0, Some(event));
        vectors.raise(0);
        assert_eq!((vectors.sent(), vectors.unconnected()), (0, 1));
    }
}
