// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Bytes with access rules: what every register region is made of.

use std::ops::Range;

use chmu_spec::native::to_usize;
use chmu_spec::register::{Register, WriteRules};

/// One byte and its rules.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    value: u8,
    reset: u8,
    /// Bits that a host can write.
    writable: u8,
    /// Bits that a host clears by writing 1.
    clearable: u8,
    /// What a host writes is ignored until it is unlocked.
    locked: bool,
}

/// A run of bytes that hosts read and write with accesses of any size.
#[derive(Debug)]
pub(crate) struct RegisterSpace {
    cells: Vec<Cell>,
}

impl RegisterSpace {
    /// A space of zeroes that nobody can write.
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            cells: vec![Cell::default(); to_usize(bytes)],
        }
    }

    /// Gives `bytes` bytes at `offset` a value, now and after resets, and rules.
    pub(crate) fn define(&mut self, offset: u64, bytes: usize, value: u64, rules: WriteRules) {
        let lanes = value
            .to_le_bytes()
            .into_iter()
            .zip(rules.writable.to_le_bytes())
            .zip(rules.clearable.to_le_bytes());
        for (cell, ((value, writable), clearable)) in self.cells_at(offset, bytes).zip(lanes) {
            *cell = Cell {
                value,
                reset: value,
                writable,
                clearable,
                locked: false,
            };
        }
    }

    /// Defines the registers of a table whose offsets count from `base`.
    pub(crate) fn define_table(&mut self, base: u64, table: &[Register]) {
        for register in table {
            let offset = base.saturating_add(register.offset);
            let bytes = usize::from(register.width / 8);
            self.define(offset, bytes, register.reset, register.write_rules(false));
        }
    }

    /// Sets the value after resets, and now.
    pub(crate) fn set_reset(&mut self, offset: u64, bytes: usize, value: u64) {
        for (cell, value) in self.cells_at(offset, bytes).zip(value.to_le_bytes()) {
            cell.value = value;
            cell.reset = value;
        }
    }

    /// Sets a value, whatever hosts may do with it.
    pub(crate) fn set(&mut self, offset: u64, bytes: usize, value: u64) {
        self.set_bytes(offset, value.to_le_bytes().get(..bytes).unwrap_or_default());
    }

    /// Sets bytes, whatever hosts may do with them.
    pub(crate) fn set_bytes(&mut self, offset: u64, bytes: &[u8]) {
        for (cell, value) in self.cells_at(offset, bytes.len()).zip(bytes) {
            cell.value = *value;
        }
    }

    /// The value of 1 to 8 bytes.
    pub(crate) fn get(&self, offset: u64, bytes: usize) -> u64 {
        let mut value = [0; 8];
        self.read(offset, value.get_mut(..bytes).unwrap_or_default());
        u64::from_le_bytes(value)
    }

    /// Ignores or accepts host writes to a range.
    pub(crate) fn lock(&mut self, range: Range<u64>, locked: bool) {
        let bytes = to_usize(range.end.saturating_sub(range.start));
        for cell in self.cells_at(range.start, bytes) {
            cell.locked = locked;
        }
    }

    /// A host reads; bytes outside of the space are 0.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let start = to_usize(offset);
        for (byte, cell) in data.iter_mut().zip(self.cells.iter().skip(start)) {
            *byte = cell.value;
        }
    }

    /// A host writes; bytes outside of the space are ignored.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        for (cell, byte) in self.cells_at(offset, data.len()).zip(data) {
            if !cell.locked {
                let rules = WriteRules {
                    writable: cell.writable.into(),
                    clearable: cell.clearable.into(),
                };
                let written = rules.apply(cell.value.into(), (*byte).into(), u8::MAX.into());
                let [value, ..] = written.to_le_bytes();
                cell.value = value;
            }
        }
    }

    /// Puts everything outside of `kept` to its reset value.
    pub(crate) fn reset(&mut self, kept: Range<u64>) {
        for (offset, cell) in (0_u64..).zip(&mut self.cells) {
            if !kept.contains(&offset) {
                cell.value = cell.reset;
            }
        }
    }

    fn cells_at(&mut self, offset: u64, bytes: usize) -> impl Iterator<Item = &mut Cell> {
        let start = to_usize(offset);
        self.cells.iter_mut().skip(start).take(bytes)
    }
}

/// The bits of a register of `bytes` bytes at `register` that a write of `data` at `offset` sets;
/// bits that it does not reach are 0.
pub(crate) fn written_bits(register: u64, bytes: usize, offset: u64, data: &[u8]) -> u64 {
    let mut value = [0; 8];
    for (byte, place) in value.iter_mut().take(bytes).zip(register..) {
        let index = place.checked_sub(offset).map(usize::try_from);
        if let Some(written) = index.and_then(|index| data.get(index.ok()?)) {
            *byte = *written;
        }
    }
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: WriteRules = WriteRules {
        writable: 0x00ff_00f0,
        clearable: 0x0f00_0000,
    };

    fn space() -> RegisterSpace {
        let mut space = RegisterSpace::new(16);
        space.define(4, 4, 0x0a11_2233, RULES);
        space
    }

    proptest! {
        /// One write equals the same bytes written one by one, and a register-wide formula.
        #[test]
        fn the_size_of_an_access_does_not_matter(
            offset in 0_u64..20,
            data in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let (mut whole, mut single) = (space(), space());
            whole.write(offset, &data);
            for (place, byte) in (offset..).zip(&data) {
                single.write(place, &[*byte]);
            }
            let written = written_bits(4, 4, offset, &data);
            let lanes = written_bits(4, 4, offset, &vec![0xff; data.len()]);
            let writable = RULES.writable & lanes;
            let expected =
                ((0x0a11_2233 & !writable) | (written & writable)) & !(written & RULES.clearable);
            prop_assert_eq!(whole.get(4, 4), expected);
            prop_assert_eq!(single.get(4, 4), expected);
            prop_assert_eq!((whole.get(0, 4), whole.get(8, 8)), (0, 0));
        }

        #[test]
        fn reads_are_slices(offset in 0_u64..20, bytes in 0_usize..20) {
            let image = [0, 0, 0, 0, 0x33, 0x22, 0x11, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0];
            let mut data = vec![0xee; bytes];
            space().read(offset, &mut data);
            let start = usize::try_from(offset).unwrap();
            for (index, byte) in data.into_iter().enumerate() {
                prop_assert_eq!(byte, image.get(start + index).copied().unwrap_or(0));
            }
        }
    }

    #[test]
    fn locked_bytes_stay() {
        let mut space = space();
        space.lock(4..6, true);
        space.write(4, &[0xff; 4]);
        assert_eq!(space.get(4, 4), 0x00ff_2233);
        space.reset(6..8);
        assert_eq!(space.get(4, 4), 0x00ff_2233);
        space.reset(0..0);
        assert_eq!(space.get(4, 4), 0x0a11_2233);
    }

    #[test]
    fn the_end_of_the_address_space_is_no_trouble() {
        let mut space = space();
        space.write(u64::MAX, &[0xff; 8]);
        let mut data = [1; 8];
        space.read(u64::MAX, &mut data);
        assert_eq!(data, [0; 8]);
        assert_eq!(written_bits(4, 4, u64::MAX, &[0xff; 8]), 0);
    }
}
