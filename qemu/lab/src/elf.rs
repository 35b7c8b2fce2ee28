// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether a program runs without any library.

use std::path::Path;

use anyhow::{Context, Result};
use object::read::elf::{ElfFile64, ProgramHeader};

/// Whether `program` is an ELF program that names no dynamic loader.
///
/// # Errors
/// When it cannot be read or is no 64-bit ELF file.
pub(crate) fn is_static(program: &Path) -> Result<bool> {
    let name = program.display();
    let content = std::fs::read(program).with_context(|| format!("Cannot read {name}"))?;
    let file = ElfFile64::<object::Endianness>::parse(content.as_slice())
        .with_context(|| format!("{name} is no 64-bit program"))?;
    let endian = file.endian();
    let mut headers = file.elf_program_headers().iter();
    Ok(!headers.any(|header| header.p_type(endian) == object::elf::PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_dynamic_and_text_is_no_program() {
        let test = std::env::current_exe().unwrap();
        assert!(!is_static(&test).unwrap());
        let text = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(text.path(), "text").unwrap();
        assert!(is_static(text.path()).is_err());
    }
}
