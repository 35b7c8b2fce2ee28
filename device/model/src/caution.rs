// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a block may be, and drivers fail at.

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
        /// Which instance.
        instance: u8,
        /// Entries of the hotlist.
        entries: u16,
        /// The most entries that lie inside an instance.
        near_entries: u16,
    },
}
