// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether a program runs without any library.

use anyhow::Result;
use object::read::elf::{ElfFile64, ProgramHeader};

/// Whether a 64-bit ELF program names no dynamic loader.
///
/// # Errors
/// When `content` is no 64-bit ELF file.
pub(crate) fn is_static(content: &[u8]) -> Result<bool> {
    let file = ElfFile64::<object::Endianness>::parse(content)?;
    let endian = file.endian();
    let mut headers = file.elf_program_headers().iter();
    Ok(!headers.any(|header| header.p_type(endian) == object::elf::PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_dynamic_and_text_is_no_program() {
        let test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_static(&test).unwrap());
        assert!(is_static(b"text").is_err());
    }
}
