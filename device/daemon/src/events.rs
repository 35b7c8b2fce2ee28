// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the subscribers of the event loop share.

use std::os::fd::RawFd;

use event_manager::{EventOps, EventSet, Events};

/// Has events of a descriptor delivered.
pub(crate) fn watch(ops: &mut EventOps, descriptor: RawFd, interest: EventSet) {
    if let Err(error) = ops.add(Events::new_raw(descriptor, interest)) {
        log::error!("Descriptor {descriptor} cannot be watched: {error}");
    }
}

/// Has other events of a watched descriptor delivered.
pub(crate) fn rewatch(ops: &mut EventOps, descriptor: RawFd, interest: EventSet) {
    if let Err(error) = ops.modify(Events::new_raw(descriptor, interest)) {
        log::error!("Descriptor {descriptor} cannot be watched: {error}");
    }
}

/// Ends the delivery of a descriptor's events. Must come before the descriptor is closed.
pub(crate) fn unwatch(ops: &mut EventOps, descriptor: RawFd) {
    if let Err(error) = ops.remove(Events::new_raw(descriptor, EventSet::empty())) {
        log::error!("Descriptor {descriptor} cannot be released: {error}");
    }
}
