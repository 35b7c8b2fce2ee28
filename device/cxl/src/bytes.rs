// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Little-endian numbers in payloads, records and tables.

/// Copies `value` to its place; what does not fit is left out.
pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    let places = bytes.iter_mut().skip(offset);
    for (place, byte) in places.zip(value) {
        *place = *byte;
    }
}

/// A byte; 0 behind the end.
pub(crate) fn byte(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or(0)
}

/// A number of `BYTES` bytes, 0 where the end is passed.
fn array<const BYTES: usize>(bytes: &[u8], offset: usize) -> [u8; BYTES] {
    let mut value = [0; BYTES];
    for (to, from) in value.iter_mut().zip(bytes.iter().skip(offset)) {
        *to = *from;
    }
    value
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array(bytes, offset))
}

pub(crate) fn i16_at(bytes: &[u8], offset: usize) -> i16 {
    i16::from_le_bytes(array(bytes, offset))
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array(bytes, offset))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array(bytes, offset))
}
