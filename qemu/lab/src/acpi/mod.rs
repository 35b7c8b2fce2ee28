// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! ACPI tables that Linux takes in place of QEMU's.
//!
//! Linux replaces a firmware table by a file of the early initramfs when signature, OEM id and OEM
//! table id are the same and the OEM revision is higher (Linux drivers/acpi/tables.c,
//! `acpi_table_initrd_override`).

mod archive;
mod cedt;
mod hmat;
mod srat;

use acpi_tables::sdt::Sdt;

pub use archive::early_archive;

use crate::topology::Topology;

/// QEMU's ids (`x-oem-id`, `x-oem-table-id`).
const OEM_ID: [u8; 6] = *b"BOCHS ";
const OEM_TABLE_ID: [u8; 8] = *b"BXPC    ";
/// QEMU's own tables have revision 1.
const OEM_REVISION: u32 = 2;
/// The header that every table starts with.
const HEADER_BYTES: u32 = 36;

/// The tables that describe `topology`, each with the file name for the early initramfs.
pub fn override_tables(topology: &Topology) -> Vec<(String, Vec<u8>)> {
    vec![
        ("cedt.aml".to_owned(), cedt::build(topology)),
        ("hmat.aml".to_owned(), hmat::build(topology)),
        ("srat.aml".to_owned(), srat::build(topology)),
    ]
}

/// A node's proximity domain.
fn proximity_domain(node: usize) -> [u8; 4] {
    u32::try_from(node).unwrap_or(u32::MAX).to_le_bytes()
}

fn table(signature: [u8; 4], revision: u8, content: &[u8]) -> Vec<u8> {
    let mut table = Sdt::new(
        signature,
        HEADER_BYTES,
        revision,
        OEM_ID,
        OEM_TABLE_ID,
        OEM_REVISION,
    );
    table.append_slice(content);
    table.as_slice().to_vec()
}
