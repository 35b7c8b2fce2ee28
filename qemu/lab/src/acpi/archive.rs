// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The early archive: what Linux looks at before it unpacks the initramfs.

use std::io;

use crate::topology::Topology;

/// Linux looks for tables below this folder (drivers/acpi/tables.c).
const FOLDER: &str = "kernel/firmware/acpi";
/// A regular file that its owner may read.
const FILE_MODE: u32 = 0o100_400;
/// Whatever follows the archive starts at a multiple of this.
const ALIGNMENT_BYTES: usize = 512;

/// An uncompressed archive with the tables of `topology`, to be put in front of an initramfs.
///
/// # Errors
/// When a table is larger than an archive's file may be.
pub fn early_archive(topology: &Topology) -> io::Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (number, (name, table)) in (1..).zip(super::override_tables(topology)) {
        let file = cpio::newc::Builder::new(&format!("{FOLDER}/{name}"));
        let file = file.mode(FILE_MODE).ino(number).nlink(1);
        let size = u32::try_from(table.len()).map_err(io::Error::other)?;
        let mut writer = file.write(&mut archive, size);
        io::Write::write_all(&mut writer, &table)?;
        writer.finish()?;
    }
    cpio::newc::trailer(&mut archive)?;
    archive.resize(archive.len().next_multiple_of(ALIGNMENT_BYTES), 0);
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_tables_are_in_the_archive_as_they_are() {
        let topology = Topology::default();
        let archive = early_archive(&topology).unwrap();
        assert!(archive.len().is_multiple_of(ALIGNMENT_BYTES));
        let mut rest = archive.as_slice();
        for (name, table) in super::super::override_tables(&topology) {
            let mut reader = cpio::NewcReader::new(rest).unwrap();
            let expected = format!("kernel/firmware/acpi/{name}");
            assert_eq!(reader.entry().name(), expected);
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            assert_eq!(content, table);
            rest = reader.finish().unwrap();
        }
        assert!(cpio::NewcReader::new(rest).unwrap().entry().is_trailer());
    }
}
