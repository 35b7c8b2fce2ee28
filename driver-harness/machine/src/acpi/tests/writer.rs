// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Tables as a firmware writes them, from nothing but the specification's offsets.

/// A whole table around its content.
pub(crate) fn table(signature: &[u8; 4], revision: u8, content: &[u8]) -> Vec<u8> {
    let mut table = signature.to_vec();
    let length = u32::try_from(36 + content.len()).unwrap();
    table.extend(length.to_le_bytes());
    table.extend([revision, 0]);
    table.extend(b"VENDORMACHINE1");
    table.extend(1_u32.to_le_bytes());
    table.extend(b"TEST");
    table.extend(1_u32.to_le_bytes());
    table.extend(content);
    seal(&mut table);
    table
}

/// Makes the checksum right again.
pub(crate) fn seal(table: &mut [u8]) {
    table[9] = 0;
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    table[9] = 0_u8.wrapping_sub(sum);
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

pub(crate) fn srat(revision: u8, entries: &[Vec<u8>]) -> Vec<u8> {
    table(b"SRAT", revision, &[vec![0; 12], entries.concat()].concat())
}

pub(crate) fn processor(domain: u32, apic: u8) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    let [low, high @ ..] = domain.to_le_bytes();
    put(&mut bytes, 0, &[0, 16, low, apic, 1]);
    put(&mut bytes, 9, &high);
    bytes
}

pub(crate) fn x2apic(domain: u32, id: u32) -> Vec<u8> {
    let mut bytes = vec![0; 24];
    put(&mut bytes, 0, &[2, 24]);
    put(&mut bytes, 4, &domain.to_le_bytes());
    put(&mut bytes, 8, &id.to_le_bytes());
    put(&mut bytes, 12, &1_u32.to_le_bytes());
    bytes
}

/// `flags`: 1 enabled, 2 may come and go, 4 not volatile.
pub(crate) fn memory(domain: u32, base: u64, length: u64, flags: u32) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    put(&mut bytes, 0, &[1, 40]);
    put(&mut bytes, 2, &domain.to_le_bytes());
    put(&mut bytes, 8, &base.to_le_bytes());
    put(&mut bytes, 16, &length.to_le_bytes());
    put(&mut bytes, 28, &flags.to_le_bytes());
    bytes
}

/// A generic initiator (5) that is a PCI function, or a generic port (6) that is a host bridge.
pub(crate) fn generic(kind: u8, domain: u32, id: u16) -> Vec<u8> {
    let mut bytes = vec![0; 32];
    put(&mut bytes, 0, &[kind, 32, 0, u8::from(kind == 5)]);
    put(&mut bytes, 4, &domain.to_le_bytes());
    match kind {
        5 => put(&mut bytes, 10, &id.to_le_bytes()),
        _ => {
            put(&mut bytes, 8, b"ACPI0016");
            put(&mut bytes, 16, &u32::from(id).to_le_bytes());
        }
    }
    put(&mut bytes, 24, &1_u32.to_le_bytes());
    bytes
}

pub(crate) fn slit(rows: &[Vec<u8>]) -> Vec<u8> {
    let count = u64::try_from(rows.len()).unwrap();
    let content = [count.to_le_bytes().to_vec(), rows.concat()].concat();
    table(b"SLIT", 1, &content)
}

pub(crate) fn hmat(revision: u8, structures: &[Vec<u8>]) -> Vec<u8> {
    let content = [vec![0; 4], structures.concat()].concat();
    table(b"HMAT", revision, &content)
}

pub(crate) fn attached(memory: u32, initiator: Option<u32>) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    put(&mut bytes, 4, &40_u32.to_le_bytes());
    bytes[8] = u8::from(initiator.is_some());
    put(&mut bytes, 12, &initiator.unwrap_or(0).to_le_bytes());
    put(&mut bytes, 16, &memory.to_le_bytes());
    bytes
}

/// A matrix; `entries` row by row.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    pub(crate) hierarchy: u8,
    pub(crate) data_type: u8,
    pub(crate) unit: u64,
    pub(crate) initiators: Vec<u32>,
    pub(crate) targets: Vec<u32>,
    pub(crate) entries: Vec<u16>,
}

impl Matrix {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let domains = self.initiators.len() + self.targets.len();
        let length = 32 + 4 * domains + 2 * self.entries.len();
        let mut bytes = vec![0; 32];
        put(&mut bytes, 0, &1_u16.to_le_bytes());
        put(&mut bytes, 4, &u32::try_from(length).unwrap().to_le_bytes());
        put(&mut bytes, 8, &[self.hierarchy, self.data_type]);
        for (at, count) in [(12, self.initiators.len()), (16, self.targets.len())] {
            put(&mut bytes, at, &u32::try_from(count).unwrap().to_le_bytes());
        }
        put(&mut bytes, 24, &self.unit.to_le_bytes());
        for domain in self.initiators.iter().chain(&self.targets) {
            bytes.extend(domain.to_le_bytes());
        }
        bytes.extend(self.entries.iter().flat_map(|entry| entry.to_le_bytes()));
        bytes
    }
}

/// One level of one, 64 bytes a line.
pub(crate) fn side_cache(memory: u32, size: u64, handles: u16) -> Vec<u8> {
    let mut bytes = vec![0; 32 + 2 * usize::from(handles)];
    let length = u32::try_from(bytes.len()).unwrap();
    put(&mut bytes, 0, &2_u16.to_le_bytes());
    put(&mut bytes, 4, &length.to_le_bytes());
    put(&mut bytes, 8, &memory.to_le_bytes());
    put(&mut bytes, 16, &size.to_le_bytes());
    put(&mut bytes, 24, &0x0040_1111_u32.to_le_bytes());
    put(&mut bytes, 30, &handles.to_le_bytes());
    bytes
}

pub(crate) fn cedt(structures: &[Vec<u8>]) -> Vec<u8> {
    table(b"CEDT", 1, &structures.concat())
}

pub(crate) fn host_bridge(uid: u32, registers: u64) -> Vec<u8> {
    let mut bytes = vec![0; 32];
    put(&mut bytes, 2, &32_u16.to_le_bytes());
    put(&mut bytes, 4, &uid.to_le_bytes());
    put(&mut bytes, 8, &1_u32.to_le_bytes());
    put(&mut bytes, 16, &registers.to_le_bytes());
    put(&mut bytes, 24, &0x1_0000_u64.to_le_bytes());
    bytes
}

/// A window; `codes` of ways, arithmetic and granularity.
pub(crate) fn window(base: u64, size: u64, codes: (u8, u8, u8), targets: &[u32]) -> Vec<u8> {
    let length = 36 + 4 * targets.len();
    let mut bytes = vec![0; 36];
    bytes[0] = 1;
    put(&mut bytes, 2, &u16::try_from(length).unwrap().to_le_bytes());
    put(&mut bytes, 8, &base.to_le_bytes());
    put(&mut bytes, 16, &size.to_le_bytes());
    put(&mut bytes, 24, &[codes.0, codes.1, 0, 0, codes.2]);
    bytes.extend(targets.iter().flat_map(|target| target.to_le_bytes()));
    bytes
}

pub(crate) fn xor_maps(granularity_code: u8, maps: &[u64]) -> Vec<u8> {
    let length = u16::try_from(8 + 8 * maps.len()).unwrap();
    let mut bytes = vec![2, 0];
    bytes.extend(length.to_le_bytes());
    let count = u8::try_from(maps.len()).unwrap();
    bytes.extend([0, 0, granularity_code, count]);
    bytes.extend(maps.iter().flat_map(|map| map.to_le_bytes()));
    bytes
}
