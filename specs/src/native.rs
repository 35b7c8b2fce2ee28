// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Sizes, offsets and indices: 64 bits wide in registers and files, and `usize` in the language.
//!
//! Both are the same here, so that nothing is lost in between; where they are not, this does not
//! compile.

const _: () = assert!(
    usize::BITS == u64::BITS,
    "device and harness address memory with 64 bits"
);

/// A size, offset or index of memory, as slices take it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "both have the same width, as is asserted above"
)]
pub const fn to_usize(value: u64) -> usize {
    value as usize
}

/// A length or an index of a slice, as registers and files have it.
pub const fn to_u64(value: usize) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        assert_eq!(to_usize(u64::MAX), usize::MAX);
        assert_eq!(to_u64(usize::MAX), u64::MAX);
        assert_eq!(to_u64(to_usize(1 << 40)), 1 << 40);
    }
}
