// SPDX-License-Identifier: GPL-2.0-or-later
//! The last level, which all vCPUs share without a lock.
//!
//! It holds what missed in a private level and the dirty lines that left one, and neither includes
//! the private levels nor keeps out of them. While one vCPU uses it at a time it is exact. Where several
//! use the same set at the same moment:
//! - two that miss the same line both fill it, and it takes two places until one of them leaves;
//! - of two accesses one may be forgotten when the line that has to leave is chosen, so another
//!   line than the first without a bit may leave, even one that was filled a moment ago.
//!
//! What stays true: each dirty line that is put here leaves at most once, by the vCPU that takes its
//! place, and nothing is written back that was not put here dirty.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use chmu_ring::{CacheLevel, LINE_BYTES};

use super::{Miss, place};

/// Flags of a line.
const VALID: u64 = 1;
const DIRTY: u64 = 2;

/// A shared level of any number of ways.
pub(crate) trait SharedLevel: Debug + Send + Sync {
    /// A vCPU fetches the line at `line_address`.
    fn fetch(&self, line_address: u64) -> Miss;

    /// The line at `line_address` leaves a private level, dirty. Returns the dirty line that has to
    /// leave for it.
    fn write_back(&self, line_address: u64) -> Option<u64>;

    /// Drops the lines whose addresses `is_dropped` picks, dirty or not.
    fn drop_lines(&self, is_dropped: &dyn Fn(u64) -> bool);
}

/// An empty level of this shape.
pub(crate) fn shared_level(shape: CacheLevel) -> Arc<dyn SharedLevel> {
    match shape.ways {
        16 => Arc::new(Sets::<16>::new(shape.lines)),
        8 => Arc::new(Sets::<8>::new(shape.lines)),
        _ => Arc::new(Sets::<4>::new(shape.lines)),
    }
}

/// The lines, each in the set of its number modulo the number of sets.
#[derive(Debug)]
struct Sets<const WAYS: usize>(Box<[Set<WAYS>]>);

/// The lines that compete for the same place; who leaves is decided as in a private level.
#[derive(Debug)]
#[repr(align(64))]
struct Set<const WAYS: usize> {
    addresses_and_flags: [AtomicU64; WAYS],
    recent: AtomicU16,
}

impl<const WAYS: usize> Sets<WAYS> {
    fn new(line_count: usize) -> Self {
        debug_assert!(line_count.is_power_of_two() && line_count >= WAYS);
        Self((0..line_count / WAYS).map(|_| Set::empty()).collect())
    }
}

impl<const WAYS: usize> SharedLevel for Sets<WAYS> {
    fn fetch(&self, line_address: u64) -> Miss {
        let Some(set) = self.0.get(place(line_address, self.0.len())) else {
            return Miss::default();
        };
        let lines = set.lines();
        if let Some(way) = way_of(&lines, line_address) {
            set.touch(way);
            return Miss::default();
        }
        Miss {
            written_back: set.replace(&lines, line_address | VALID),
            filled: Some(line_address),
        }
    }

    fn write_back(&self, line_address: u64) -> Option<u64> {
        let set = self.0.get(place(line_address, self.0.len()))?;
        let mut lines = set.lines();
        while let Some(way) = way_of(&lines, line_address) {
            if set.set_dirty(way, lines[way]) {
                set.touch(way);
                return None;
            }
            lines = set.lines();
        }
        set.replace(&lines, line_address | VALID | DIRTY)
    }

    fn drop_lines(&self, is_dropped: &dyn Fn(u64) -> bool) {
        for set in &self.0 {
            for (way, line) in set.addresses_and_flags.iter().enumerate() {
                let found = line.load(Ordering::Relaxed);
                if found == 0 || !is_dropped(found & !(LINE_BYTES - 1)) {
                    continue;
                }
                let (relaxed, also) = (Ordering::Relaxed, Ordering::Relaxed);
                // A line that has just taken its place stays.
                if line.compare_exchange(found, 0, relaxed, also).is_ok() {
                    set.recent.fetch_and(!(1 << way), Ordering::Relaxed);
                }
            }
        }
    }
}

impl<const WAYS: usize> Set<WAYS> {
    const ALL_WAYS: u16 = u16::MAX >> (u16::BITS as usize - WAYS);

    fn empty() -> Self {
        Self {
            addresses_and_flags: [const { AtomicU64::new(0) }; WAYS],
            recent: AtomicU16::new(0),
        }
    }

    #[inline]
    fn lines(&self) -> [u64; WAYS] {
        std::array::from_fn(|way| self.addresses_and_flags[way].load(Ordering::Relaxed))
    }

    /// Makes a line dirty, unless another has taken its place.
    #[inline]
    fn set_dirty(&self, way: usize, line: u64) -> bool {
        let place = &self.addresses_and_flags[way];
        line & DIRTY != 0
            || place
                .compare_exchange(line, line | DIRTY, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Puts a line with its flags in an empty place, or in that of the one that has to leave.
    /// Returns the physical address of what left if it was dirty.
    #[inline]
    fn replace(&self, lines: &[u64; WAYS], line: u64) -> Option<u64> {
        let recent = self.recent.load(Ordering::Relaxed);
        let way = first(ways(lines, |line| line == 0))
            .or_else(|| first(!recent & Self::ALL_WAYS))
            .unwrap_or_default();
        let left = self.addresses_and_flags[way].swap(line, Ordering::Relaxed);
        self.touch(way);
        (left & DIRTY != 0).then_some(left & !(LINE_BYTES - 1))
    }

    /// Notes an access to a line. Nothing is written where that is known, so that vCPUs that hit do
    /// not take the host's cache line from each other.
    #[inline]
    fn touch(&self, way: usize) {
        let before = self.recent.load(Ordering::Relaxed);
        let with = before | (1 << way);
        let after = if with == Self::ALL_WAYS {
            1 << way
        } else {
            with
        };
        if after != before {
            self.recent.store(after, Ordering::Relaxed);
        }
    }
}

/// The ways whose lines are as `matches` wants, a bit for each.
#[inline]
fn ways<const WAYS: usize>(lines: &[u64; WAYS], matches: impl Fn(u64) -> bool) -> u16 {
    let mut ways = 0;
    for (way, line) in lines.iter().enumerate() {
        ways |= u16::from(matches(*line)) << way;
    }
    ways
}

/// Where a line is, if it is among those of a set.
#[inline]
fn way_of<const WAYS: usize>(lines: &[u64; WAYS], line_address: u64) -> Option<usize> {
    let wanted = line_address | VALID | DIRTY;
    first(ways(lines, |line| line | DIRTY == wanted))
}

/// The lowest way whose bit is set.
#[inline]
fn first(ways: u16) -> Option<usize> {
    (ways != 0).then(|| ways.trailing_zeros() as usize)
}
