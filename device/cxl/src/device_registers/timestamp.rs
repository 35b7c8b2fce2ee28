// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device's idea of the time of day.

/// Time of day that a host set, carried on by the device's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timestamp {
    set: Option<Set>,
}

#[derive(Debug, Clone, Copy)]
struct Set {
    time_of_day_ns: u64,
    at_ns: u64,
}

impl Timestamp {
    /// A host tells the nanoseconds since 1970.
    pub(super) fn set(&mut self, now_ns: u64, time_of_day_ns: u64) {
        self.set = Some(Set {
            time_of_day_ns,
            at_ns: now_ns,
        });
    }

    /// Nanoseconds since 1970; 0 while no host has told.
    pub(super) fn now(&self, now_ns: u64) -> u64 {
        self.set.map_or(0, |set| {
            let passed = now_ns.saturating_sub(set.at_ns);
            set.time_of_day_ns.saturating_add(passed)
        })
    }
}
