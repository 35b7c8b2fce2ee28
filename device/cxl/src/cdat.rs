// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the device tells of its memory's speed: a Coherent Device Attribute Table (CDAT).

use chmu_spec::cxl::cdat::{
    LAST_ENTRY, header, latency_bandwidth, memory_affinity, memory_type, structure,
};

use crate::bytes::put;
use crate::config::Performance;

/// Handle of the one range: all of the memory.
const HANDLE: u8 = 0;

const PICOSECONDS_PER_NANOSECOND: u64 = 1000;

/// The entries of the table: its header, then its structures.
#[derive(Debug)]
pub(crate) struct AttributeTable {
    entries: Vec<Vec<u8>>,
}

impl AttributeTable {
    /// The table of a device of `capacity_bytes` of volatile memory.
    pub(crate) fn new(capacity_bytes: u64, performance: Performance) -> Self {
        let latency = Scaled::new(performance.latency_ns.into(), PICOSECONDS_PER_NANOSECOND);
        let bandwidth = Scaled::new(performance.bandwidth_mib_per_s.into(), 1);
        let structures = vec![
            memory_range(capacity_bytes),
            figure(latency_bandwidth::READ_LATENCY, latency),
            figure(latency_bandwidth::WRITE_LATENCY, latency),
            figure(latency_bandwidth::READ_BANDWIDTH, bandwidth),
            figure(latency_bandwidth::WRITE_BANDWIDTH, bandwidth),
            ordinary_memory(capacity_bytes),
        ];
        let mut entries = vec![table_header(&structures)];
        entries.extend(structures);
        Self { entries }
    }

    /// The entry with a handle, of a host's choice, and the handle of the one behind it.
    pub(crate) fn entry(&self, handle: u16) -> Option<(&[u8], u16)> {
        let entry = self.entries.get(usize::from(handle))?;
        let next = handle
            .checked_add(1)
            .filter(|next| usize::from(*next) < self.entries.len());
        Some((entry, next.unwrap_or(LAST_ENTRY)))
    }
}

/// A number as an entry in units: a large one gives up its lowest bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scaled {
    entry: u16,
    unit: u64,
}

impl Scaled {
    fn new(mut value: u64, mut unit: u64) -> Self {
        while value > latency_bandwidth::MAXIMUM_ENTRY.into() {
            value = value.div_ceil(2);
            unit = unit.saturating_mul(2);
        }
        let entry = u16::try_from(value).unwrap_or(latency_bandwidth::MAXIMUM_ENTRY);
        Self { entry, unit }
    }
}

fn table_header(structures: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0; header::BYTES];
    let length = structures.iter().map(Vec::len).sum::<usize>();
    let length = u32::try_from(length.saturating_add(header::BYTES)).unwrap_or(0);
    put(&mut bytes, header::LENGTH, &length.to_le_bytes());
    put(&mut bytes, header::REVISION, &[header::CURRENT_REVISION]);
    let all = bytes.iter().chain(structures.iter().flatten());
    let sum = all.fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    put(&mut bytes, header::CHECKSUM, &[sum.wrapping_neg()]);
    bytes
}

fn empty_structure(structure_type: u8, bytes: usize) -> Vec<u8> {
    let mut empty = vec![0; bytes];
    let length = u16::try_from(bytes).unwrap_or(0);
    put(&mut empty, structure::TYPE, &[structure_type]);
    put(&mut empty, structure::LENGTH, &length.to_le_bytes());
    empty
}

fn memory_range(capacity_bytes: u64) -> Vec<u8> {
    let mut bytes = empty_structure(memory_affinity::TYPE, memory_affinity::BYTES);
    put(&mut bytes, memory_affinity::HANDLE, &[HANDLE]);
    let length = capacity_bytes.to_le_bytes();
    put(&mut bytes, memory_affinity::LENGTH, &length);
    bytes
}

fn figure(data_type: u8, value: Scaled) -> Vec<u8> {
    let mut bytes = empty_structure(latency_bandwidth::TYPE, latency_bandwidth::BYTES);
    put(&mut bytes, latency_bandwidth::HANDLE, &[HANDLE]);
    put(&mut bytes, latency_bandwidth::DATA_TYPE, &[data_type]);
    let unit = value.unit.to_le_bytes();
    put(&mut bytes, latency_bandwidth::BASE_UNIT, &unit);
    let entry = value.entry.to_le_bytes();
    put(&mut bytes, latency_bandwidth::ENTRY, &entry);
    bytes
}

fn ordinary_memory(capacity_bytes: u64) -> Vec<u8> {
    let mut bytes = empty_structure(memory_type::TYPE, memory_type::BYTES);
    put(&mut bytes, memory_type::HANDLE, &[HANDLE]);
    let attribute = [memory_type::CONVENTIONAL];
    put(&mut bytes, memory_type::ATTRIBUTE, &attribute);
    let length = capacity_bytes.to_le_bytes();
    put(&mut bytes, memory_type::LENGTH, &length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_fit_an_entry() {
        let scaled = |entry, unit| Scaled { entry, unit };
        assert_eq!(Scaled::new(200, 1000), scaled(200, 1000));
        assert_eq!(Scaled::new(0xfffe, 1), scaled(0xfffe, 1));
        assert_eq!(Scaled::new(0xffff, 1), scaled(0x8000, 2));
        assert_eq!(Scaled::new(1 << 20, 1), scaled(0x8000, 32));
        let largest = Scaled::new(u64::MAX, 1000);
        assert!(largest.entry > 0x7fff && largest.entry < 0xffff);
    }

    #[test]
    fn the_table_sums_up_to_nothing() {
        let table = AttributeTable::new(
            1 << 30,
            Performance {
                latency_ns: 321,
                bandwidth_mib_per_s: 12_345,
            },
        );
        let bytes: Vec<u8> = table.entries.concat();
        assert_eq!(bytes.len(), 0x10 + 6 * 0x18);
        assert_eq!(bytes[..4], 0xa0_u32.to_le_bytes());
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(sum, 0);
        let (_, next) = table.entry(6).unwrap();
        assert_eq!(next, 0xffff);
        assert!(table.entry(7).is_none());
        assert!(table.entry(0xffff).is_none());
    }
}
