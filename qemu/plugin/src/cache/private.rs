// SPDX-License-Identifier: GPL-2.0-or-later
//! The cache of one vCPU: its sets, and which line of a set has to leave.

use std::fmt::Debug;

use chmu_ring::{CacheLevel, LINE_BYTES};

use super::shortcuts::{VcpuShortcuts, virtual_line};
use super::{Miss, place};

/// Flags of a line.
const VALID: u64 = 1;
const DIRTY: u64 = 2;

/// A private level of any number of ways.
pub(super) trait PrivateLevel: Debug + Send {
    /// An access to the line at `line_address`, by `virtual_address`.
    fn access(
        &mut self,
        shortcuts: &VcpuShortcuts,
        virtual_address: u64,
        line_address: u64,
        is_store: bool,
    ) -> Miss;

    /// Drops the lines whose addresses `is_dropped` picks, dirty or not.
    fn drop_lines(&mut self, shortcuts: &VcpuShortcuts, is_dropped: &dyn Fn(u64) -> bool);
}

/// An empty level of this shape.
pub(super) fn private_level(shape: CacheLevel) -> Box<dyn PrivateLevel> {
    match shape.ways {
        16 => Box::new(Sets::<16>::new(shape.lines)),
        8 => Box::new(Sets::<8>::new(shape.lines)),
        _ => Box::new(Sets::<4>::new(shape.lines)),
    }
}

/// The lines, each in the set of its number modulo the number of sets.
#[derive(Debug)]
struct Sets<const WAYS: usize>(Box<[Set<WAYS>]>);

/// The lines that compete for the same place.
///
/// Who leaves is decided by a bit for each line (bit-PLRU): an access sets the line's, and when
/// that makes all of them set, the others' are taken away. An empty place is taken first, then the
/// first line without a bit leaves.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Set<const WAYS: usize> {
    /// Address of each line, a multiple of 64, which leaves room for flags; 0 where there is none.
    addresses_and_flags: [u64; WAYS],
    /// Of each line the virtual line by which it was accessed last: the low bits of its number. Each
    /// has one shortcut at most.
    virtual_lines: [u32; WAYS],
    /// A bit for each line that was accessed since the set forgot which of its lines were.
    recent: u16,
}

impl<const WAYS: usize> Sets<WAYS> {
    fn new(line_count: usize) -> Self {
        debug_assert!(line_count.is_power_of_two() && line_count >= WAYS);
        Self(vec![Set::EMPTY; line_count / WAYS].into())
    }
}

impl<const WAYS: usize> PrivateLevel for Sets<WAYS> {
    fn access(
        &mut self,
        shortcuts: &VcpuShortcuts,
        virtual_address: u64,
        line_address: u64,
        is_store: bool,
    ) -> Miss {
        let set_place = place(line_address, self.0.len());
        let (Some(set), mut miss) = (self.0.get_mut(set_place), Miss::default()) else {
            return Miss::default();
        };
        let way = set.way_of(line_address).unwrap_or_else(|| {
            let (way, written_back) = set.replace(line_address);
            miss.written_back = written_back;
            miss.filled = Some(line_address);
            way
        });
        if is_store {
            set.addresses_and_flags[way] |= DIRTY;
        }
        // A shortcut must not outlive its line, nor the line's only reference to it.
        let by_now = virtual_line(virtual_address);
        shortcuts.forget(std::mem::replace(&mut set.virtual_lines[way], by_now));
        if let Some(forgotten) = set.touch(way) {
            for line in forgotten {
                shortcuts.forget(line);
            }
        }
        shortcuts.learn(virtual_address, set.addresses_and_flags[way] & DIRTY != 0);
        miss
    }

    fn drop_lines(&mut self, shortcuts: &VcpuShortcuts, is_dropped: &dyn Fn(u64) -> bool) {
        for set in &mut self.0 {
            for way in 0..WAYS {
                let line = set.addresses_and_flags[way];
                if line != 0 && is_dropped(line & !(LINE_BYTES - 1)) {
                    shortcuts.forget(set.virtual_lines[way]);
                    set.addresses_and_flags[way] = 0;
                    set.recent &= !(1 << way);
                }
            }
        }
    }
}

impl<const WAYS: usize> Set<WAYS> {
    const EMPTY: Self = Self {
        addresses_and_flags: [0; WAYS],
        virtual_lines: [0; WAYS],
        recent: 0,
    };
    const ALL_WAYS: u16 = u16::MAX >> (u16::BITS as usize - WAYS);

    /// The ways whose lines are as `matches` wants, a bit for each. One comparison after the other
    /// would be one misprediction after the other.
    #[inline]
    fn ways(&self, matches: impl Fn(u64) -> bool) -> u16 {
        let mut ways = 0;
        for (way, line) in self.addresses_and_flags.iter().enumerate() {
            ways |= u16::from(matches(*line)) << way;
        }
        ways
    }

    /// Where the line is, if it is in the set.
    #[inline]
    fn way_of(&self, line_address: u64) -> Option<usize> {
        let wanted = line_address | VALID | DIRTY;
        first(self.ways(|line| line | DIRTY == wanted))
    }

    /// Puts a clean line in an empty place, or in that of the one that has to leave. Returns where,
    /// and the physical address of that one if it is dirty.
    #[inline]
    fn replace(&mut self, line_address: u64) -> (usize, Option<u64>) {
        let way = first(self.ways(|line| line == 0))
            .or_else(|| first(!self.recent & Self::ALL_WAYS))
            .unwrap_or_default();
        let line = std::mem::replace(&mut self.addresses_and_flags[way], line_address | VALID);
        let is_dirty = line & DIRTY != 0;
        (way, is_dirty.then_some(line & !(LINE_BYTES - 1)))
    }

    /// Notes an access to a line. Returns the virtual lines of the set if it forgot that the others
    /// were accessed.
    #[inline]
    fn touch(&mut self, way: usize) -> Option<[u32; WAYS]> {
        self.recent |= 1 << way;
        if self.recent != Self::ALL_WAYS {
            return None;
        }
        self.recent = 1 << way;
        Some(self.virtual_lines)
    }
}

/// The lowest way whose bit is set.
#[inline]
fn first(ways: u16) -> Option<usize> {
    (ways != 0).then(|| ways.trailing_zeros() as usize)
}
