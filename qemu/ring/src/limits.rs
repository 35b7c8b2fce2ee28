// SPDX-License-Identifier: BSD-3-Clause
//! How large a feed can be, and the version of what both sides agree on.

use std::ops::RangeInclusive;

/// Rings in a feed at most; one ring serves one vCPU.
pub const MAX_RINGS: u32 = 256;
/// Windows in a feed at most.
pub const MAX_WINDOWS: usize = 16;
/// Entries of a ring unless configured otherwise: 512 KiB.
pub const ENTRIES_PER_RING: u32 = 65_536;

/// Entries that a ring can have, of the powers of two.
pub(crate) const ENTRIES_RANGE: RangeInclusive<u32> = 64..=1 << 20;
/// Version of the hand-over and of the layout.
pub(crate) const VERSION: u32 = 3;
