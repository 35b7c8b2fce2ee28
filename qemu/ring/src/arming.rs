// SPDX-License-Identifier: BSD-3-Clause
//! Whether a device wants to hear of accesses.

/// Bit 0 says it; the bits above count changes, so that no acknowledgement of an earlier change is
/// taken for one of a later change.
const ARMED_BIT: u32 = 1;

/// What a device last asked of its producer: to report accesses, or to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arming(u32);

impl Arming {
    /// Whether accesses are to be reported.
    #[inline]
    pub const fn is_armed(self) -> bool {
        self.0 & ARMED_BIT != 0
    }

    /// A request that differs from this one.
    pub(crate) fn next(self, armed: bool) -> Self {
        let counted = self.0 | ARMED_BIT;
        Self(counted.wrapping_add(1) | u32::from(armed))
    }

    /// The request as it lies in shared memory.
    #[inline]
    pub(crate) const fn to_word(self) -> u32 {
        self.0
    }

    /// The request in a word of shared memory.
    #[inline]
    pub(crate) const fn from_word(word: u32) -> Self {
        Self(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_differs_from_the_one_before() {
        for first in [0, 1, u32::MAX - 1, u32::MAX] {
            for armed in [false, true] {
                let next = Arming(first).next(armed);
                assert_ne!(next, Arming(first));
                assert_eq!(next.is_armed(), armed);
            }
        }
    }
}
