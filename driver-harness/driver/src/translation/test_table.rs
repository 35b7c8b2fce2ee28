// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The firmware's table of host bridges and windows, as tests need it.

const GIB: u64 = 1 << 30;

/// Host bridge 13, whose registers start at 64 KiB, and a window of 4 GiB from 5 GiB on over these
/// host bridges; their number is 1 or 2.
pub(super) fn cedt(arithmetic: u8, granularity_code: u8, targets: &[u32]) -> Vec<u8> {
    let ways_code = u8::try_from(targets.len() - 1).unwrap();
    let place = (5 * GIB, 4 * GIB);
    cedt_at(place, arithmetic, (ways_code, granularity_code), targets)
}

/// The same with a window of these first byte and bytes, and codes of ways and granularity.
pub(super) fn cedt_at(
    (base, bytes): (u64, u64),
    arithmetic: u8,
    (ways_code, granularity_code): (u8, u8),
    targets: &[u32],
) -> Vec<u8> {
    let mut table = b"CEDT".to_vec();
    table.resize(36, 0);
    table.extend([0, 0, 32, 0]);
    table.extend([13_u32, 1, 0].map(u32::to_le_bytes).concat());
    table.extend([0x1_0000_u64, 0x1_0000].map(u64::to_le_bytes).concat());
    let length = 36 + 4 * targets.len();
    table.extend([1, 0, u8::try_from(length).unwrap(), 0, 0, 0, 0, 0]);
    table.extend([base, bytes].map(u64::to_le_bytes).concat());
    table.extend([ways_code, arithmetic, 0, 0, granularity_code, 0, 0, 0]);
    table.extend([0; 4]);
    table.extend(targets.iter().flat_map(|target| target.to_le_bytes()));
    let length = u32::try_from(table.len()).unwrap();
    table[4..8].copy_from_slice(&length.to_le_bytes());
    seal(&mut table);
    table
}

/// Makes the checksum right again.
pub(super) fn seal(table: &mut [u8]) {
    table[9] = 0;
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = 0_u8.wrapping_sub(sum);
}
