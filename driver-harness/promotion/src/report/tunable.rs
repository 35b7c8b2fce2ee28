// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What can be adapted about a source.

use super::WatchedRange;

/// What a source can be set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Least and greatest threshold. The least is the number of accesses from which on a page is hot at
    /// all, not what the device could tell.
    pub threshold: (u64, u64),
    /// Shortest and longest epoch.
    pub epoch_ns: (u64, u64),
    /// The memory to watch.
    pub ranges: Vec<WatchedRange>,
    /// Into so many parts it can be divided, at most.
    pub parts: u64,
}

/// A source's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The least weight of something hot.
    pub threshold: u64,
    /// Length of an epoch.
    pub epoch_ns: u64,
    /// Bytes of a unit.
    pub unit_bytes: u64,
}

/// Settings that a user fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fixed {
    /// The threshold.
    pub threshold: bool,
    /// The epoch.
    pub epoch: bool,
    /// The unit's size.
    pub unit: bool,
    /// The memory that is watched.
    pub ranges: bool,
}

/// A source that can be adapted: what it is set to, and what it can be set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunable {
    /// Its settings.
    pub settings: Settings,
    /// What they can become.
    pub bounds: Bounds,
    /// What is no setting of this source.
    pub fixed: Fixed,
}
