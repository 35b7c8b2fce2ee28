// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a block may be, and drivers fail at.

use crate::capabilities::Capabilities;
use crate::layout::MAXIMUM_NEAR_ENTRIES;

/// How long public drivers wait for an operation.
const DRIVERS_WAIT_NS: u64 = 100_000_000;

/// What an instance may be, and drivers fail at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Caution {
    /// The hotlist lies outside of the instance length.
    #[error(
        "the hotlist of instance {instance} has {entries} entries and lies behind all instances, \
         because up to {near_entries} fit the instance length; the public Linux drivers (perf and \
         sysfs) break: they map the instances only, so they cannot reach the list, and they take \
         the range bitmap to reach up to it, so their start writes over other instances or \
         beyond their mapping"
    )]
    FarHotlist {
        /// The instance's number in its block, from 0.
        instance: u8,
        /// Entries that its hotlist has.
        entries: u16,
        /// The most entries that lie inside an instance.
        near_entries: u16,
    },
    /// Operations take longer than drivers wait.
    #[error(
        "enable, disable and reset of instance {instance} take {} ms; drivers that wait 100 ms give up \
         before, among them the public perf driver and `chmu`",
        delay_ns.div_ceil(1_000_000)
    )]
    SlowOperations {
        /// The instance's number in its block, from 0.
        instance: u8,
        /// How long its operations take.
        delay_ns: u64,
    },
}

impl Capabilities {
    /// What drivers fail at when `instance` can do this.
    pub(crate) fn cautions(&self, instance: u8) -> impl Iterator<Item = Caution> {
        let far = Caution::FarHotlist {
            instance,
            entries: self.hotlist_entries,
            near_entries: MAXIMUM_NEAR_ENTRIES,
        };
        let slow = Caution::SlowOperations {
            instance,
            delay_ns: self.operation_delay_ns,
        };
        let far = (self.hotlist_entries > MAXIMUM_NEAR_ENTRIES).then_some(far);
        let slow = (self.operation_delay_ns > DRIVERS_WAIT_NS).then_some(slow);
        far.into_iter().chain(slow)
    }
}
