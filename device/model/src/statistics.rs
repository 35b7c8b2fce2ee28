// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an instance has done since power-on.

/// What an instance has done since power-on; resets leave it alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct InstanceStatistics {
    /// Requests that arrived while the instance was enabled.
    pub requests: u64,
    /// Requests that the request filter does not track.
    pub requests_filtered: u64,
    /// Requests whose range bit is clear.
    pub requests_out_of_range: u64,
    /// Requests that were tracked and that down-sampling left out.
    pub requests_sampled_out: u64,
    /// Requests whose counter there was no memory for.
    pub requests_without_counter: u64,
    /// Requests that moved a counter.
    pub requests_counted: u64,
    /// Global epochs that have ended; epochs per counter are not counted.
    pub epochs_closed: u64,
    /// Hot units that were appended to the hotlist.
    pub units_reported: u64,
    /// Hot units that were lost.
    pub units_dropped: u64,
    /// Interrupts that instances sent.
    pub interrupts: u64,
    /// Times the instance was enabled.
    pub enables: u64,
    /// Times the instance refused to be enabled.
    pub enables_refused: u64,
}

/// Adds one to a counter, which stays at its largest value.
pub(crate) const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
