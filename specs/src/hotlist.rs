// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotlist entries and the arithmetic of the ring that holds them.

use crate::address::UnitIndex;

/// Bytes of an entry of the hotlist.
pub const ENTRY_BYTES: u64 = 8;

/// One hot unit as the device reports it (chmu-registers, "Range bitmap and hotlist").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The unit: device physical address divided by the unit size.
    pub unit: UnitIndex,
    /// Its count, saturated at the counter width.
    pub count: u64,
}

/// Largest count of a counter of `counter_width` bits (0 to 64).
pub const fn maximum_count(counter_width: u8) -> u64 {
    match counter_width {
        0 => 0,
        1..=63 => (1 << counter_width) - 1,
        _ => u64::MAX,
    }
}

impl Entry {
    /// The entry as the device stores it: the count in the low `counter_width` bits, saturated,
    /// the unit above; bits of the unit that do not fit are lost.
    pub const fn encode(self, counter_width: u8) -> u64 {
        let maximum = maximum_count(counter_width);
        let count = if self.count > maximum {
            maximum
        } else {
            self.count
        };
        match self.unit.0.checked_shl(counter_width as u32) {
            Some(unit) => unit | count,
            None => count,
        }
    }

    /// Reads what a device stored.
    pub const fn decode(raw: u64, counter_width: u8) -> Self {
        let unit = match raw.checked_shr(counter_width as u32) {
            Some(unit) => unit,
            None => 0,
        };
        Self {
            unit: UnitIndex(unit),
            count: raw & maximum_count(counter_width),
        }
    }
}

/// Entries between `head` and `tail` of a ring of `size` entries; both below `size`.
pub const fn occupancy(head: u16, tail: u16, size: u16) -> u16 {
    if tail >= head {
        tail - head
    } else {
        // head > tail, and both are below size: neither term can wrap.
        (size - head) + tail
    }
}

/// The index after `index` in a ring of `size` entries; `index` is below `size`.
pub const fn next_index(index: u16, size: u16) -> u16 {
    if size - index <= 1 { 0 } else { index + 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_has_the_count_below_the_unit() {
        let entry = Entry {
            unit: UnitIndex(0x4_0000),
            count: 0x81,
        };
        assert_eq!(entry.encode(16), 0x4_0000_0081);
        assert_eq!(Entry::decode(0x4_0000_0081, 16), entry);
    }

    #[test]
    fn counts_saturate_and_leave_the_unit_alone() {
        let entry = Entry {
            unit: UnitIndex(1),
            count: 0x1_0000,
        };
        assert_eq!(entry.encode(16), 0x1_ffff);
    }

    proptest! {
        #[test]
        fn entries_lead_back(unit in 0_u64..1 << 32, count in 0_u64..1 << 20, width in 20_u8..=32) {
            let entry = Entry { unit: UnitIndex(unit), count };
            prop_assert_eq!(Entry::decode(entry.encode(width), width), entry);
        }

        #[test]
        fn any_width_decodes(raw: u64, width: u8) {
            let entry = Entry::decode(raw, width);
            prop_assert!(entry.count <= maximum_count(width));
        }

        #[test]
        fn occupancy_counts_the_steps(size in 2_u16..600, head: u16, steps: u16) {
            let (head, steps) = (head % size, steps % size);
            let mut tail = head;
            for _ in 0..steps {
                tail = next_index(tail, size);
            }
            prop_assert!(tail < size);
            prop_assert_eq!(occupancy(head, tail, size), steps);
        }
    }
}
