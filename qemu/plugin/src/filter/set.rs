// SPDX-License-Identifier: GPL-2.0-or-later
//! The lines of the cache that compete for the same place, and which of them has to leave.

use chmu_ring::LINE_BYTES;

/// In how many ways a set can hold a line.
pub(crate) const WAYS: usize = 4;

const ALL_WAYS: u8 = (1 << WAYS) - 1;

/// The lines whose physical line's numbers agree modulo the number of sets: one line of the host.
///
/// Who leaves is decided by a bit for each line (bit-PLRU): an access sets the line's, and when
/// that makes all of them set, the others' are taken away. The first line without one leaves.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Set {
    /// Address of each line, a multiple of 64, which leaves room for flags; 0 where there is none.
    addresses_and_flags: [u64; WAYS],
    /// Of each line the virtual line by which it was accessed last: the low bits of its number. Each
    /// has one translation at most.
    virtual_lines: [u32; WAYS],
    /// A bit for each line that was accessed since the set forgot which of its lines were.
    recent: u8,
}

/// Flags of a line.
const VALID: u64 = 1;
const DIRTY: u64 = 2;

impl Set {
    /// Where the line is, if it is in the set.
    #[inline]
    pub(super) fn way_of(&self, line_address: u64) -> Option<usize> {
        let wanted = line_address | VALID | DIRTY;
        let [a, b, c, d] = self.addresses_and_flags.map(|line| line | DIRTY == wanted);
        // One comparison after the other would be one misprediction after the other.
        first(u8::from(a) | u8::from(b) << 1 | u8::from(c) << 2 | u8::from(d) << 3)
    }

    /// Puts a clean line in the place of the one that has to leave. Returns where, and the physical
    /// address of that one if it is dirty.
    #[inline]
    pub(super) fn replace(&mut self, line_address: u64) -> (usize, Option<u64>) {
        // A set that is not full has forgotten nothing, so that empty places are taken first.
        let way = first(!self.recent & ALL_WAYS).unwrap_or_default();
        let line = std::mem::replace(&mut self.addresses_and_flags[way], line_address | VALID);
        let is_dirty = line & DIRTY != 0;
        (way, is_dirty.then_some(line & !(LINE_BYTES - 1)))
    }

    #[inline]
    pub(super) fn is_dirty(&self, way: usize) -> bool {
        self.addresses_and_flags[way] & DIRTY != 0
    }

    #[inline]
    pub(super) fn set_dirty(&mut self, way: usize) {
        self.addresses_and_flags[way] |= DIRTY;
    }

    /// Notes by which virtual line a line is accessed; returns by which it was until now.
    #[inline]
    pub(super) fn set_virtual_line(&mut self, way: usize, virtual_line: u32) -> u32 {
        std::mem::replace(&mut self.virtual_lines[way], virtual_line)
    }

    /// Notes an access to a line. Returns the virtual lines of the set if it forgot that the others
    /// were accessed.
    #[inline]
    pub(super) fn touch(&mut self, way: usize) -> Option<[u32; WAYS]> {
        self.recent |= 1 << way;
        if self.recent != ALL_WAYS {
            return None;
        }
        self.recent = 1 << way;
        Some(self.virtual_lines)
    }
}

/// The lowest way whose bit is set.
#[inline]
fn first(ways: u8) -> Option<usize> {
    (ways != 0).then(|| ways.trailing_zeros() as usize % WAYS)
}
