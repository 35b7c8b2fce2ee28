// SPDX-License-Identifier: GPL-2.0-or-later
//! Which x86 instructions may change what a virtual address means.

/// Longest x86 instruction, in bytes.
pub(crate) const MAX_INSTRUCTION_BYTES: usize = 15;

const REX_R: u8 = 0x04;

/// Whether the instruction `code` invalidates address translations: a move to CR0, CR3 or CR4,
/// `INVLPG`, `INVLPGA` or `INVPCID` (AMD64 Architecture Programmer's Manual, volume 2, 5.5.2; the
/// processor may keep a translation until one of them is executed, so software does execute one).
pub(crate) fn changes_translation(code: &[u8]) -> bool {
    let (rex, opcode) = skip_prefixes(code);
    match *opcode {
        [0x0f, 0x22, modrm, ..] => rex & REX_R == 0 && matches!(register_field(modrm), 0 | 3 | 4),
        // With a register operand the same opcode is SWAPGS and others.
        [0x0f, 0x01, modrm, ..] => register_field(modrm) == 7 && modrm < 0xc0 || modrm == 0xdf,
        [0x0f, 0x38, 0x82, ..] => true,
        _ => false,
    }
}

fn register_field(modrm: u8) -> u8 {
    modrm >> 3 & 7
}

/// The REX prefix, or 0, and what follows the prefixes. Outside 64-bit mode 0x40 to 0x4f are whole
/// instructions, so nothing follows them.
fn skip_prefixes(code: &[u8]) -> (u8, &[u8]) {
    let is_legacy = |byte: &u8| {
        matches!(
            byte,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3
        )
    };
    let legacy = code.iter().take_while(|byte| is_legacy(byte)).count();
    match code.get(legacy..).unwrap_or_default() {
        [rex @ 0x40..=0x4f, opcode @ ..] => (*rex, opcode),
        opcode => (0, opcode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instructions_that_change_translations_are_found() {
        for code in [
            &[0x0f, 0x22, 0xd8][..],                         // mov %rax,%cr3
            &[0x41, 0x0f, 0x22, 0xdc],                       // mov %r12,%cr3
            &[0x0f, 0x22, 0xc0],                             // mov %rax,%cr0
            &[0x0f, 0x22, 0xe7],                             // mov %rdi,%cr4
            &[0x0f, 0x01, 0x3f],                             // invlpg (%rdi)
            &[0x41, 0x0f, 0x01, 0x7c, 0x24, 0x08],           // invlpg 8(%r12)
            &[0x65, 0x0f, 0x01, 0x3c, 0x25, 0, 0, 0, 0],     // invlpg %gs:0
            &[0x0f, 0x01, 0xdf],                             // invlpga
            &[0x66, 0x0f, 0x38, 0x82, 0x06],                 // invpcid (%rsi),%rax
            &[0x66, 0x44, 0x0f, 0x38, 0x82, 0x44, 0x24, 16], // invpcid 16(%rsp),%r8
        ] {
            assert!(changes_translation(code), "{code:02x?}");
        }
    }

    #[test]
    fn their_neighbours_are_not() {
        for code in [
            &[0x0f, 0x20, 0xd8][..],         // mov %cr3,%rax
            &[0x44, 0x0f, 0x22, 0xc0],       // mov %rax,%cr8
            &[0x0f, 0x22, 0xd0],             // mov %rax,%cr2
            &[0x0f, 0x01, 0xf8],             // swapgs
            &[0x0f, 0x01, 0xf9],             // rdtscp
            &[0x0f, 0x01, 0x17],             // lgdt (%rdi)
            &[0x0f, 0x01, 0xd8],             // vmrun
            &[0x0f, 0x38, 0x80],             // cut short
            &[0x48, 0x8b, 0x07],             // mov (%rdi),%rax
            &[0x0f, 0x23, 0xd8],             // mov %rax,%db3
            &[0xb8, 0x0f, 0x22, 0xd8, 0x00], // mov $0xd8220f,%eax
            &[0x0f, 0x22],                   // cut short
            &[0x40],                         // inc %eax, outside 64-bit mode
            &[0x66, 0x66, 0x66],             // prefixes only
        ] {
            assert!(!changes_translation(code), "{code:02x?}");
        }
    }

    proptest! {
        #[test]
        fn legacy_prefixes_change_nothing(
            prefixes in prop::collection::vec(
                prop::sample::select(vec![0x2e_u8, 0x3e, 0x65, 0x66, 0x67, 0xf2]), 0..5),
            opcode in prop::collection::vec(any::<u8>(), 1..10),
        ) {
            prop_assume!(!matches!(opcode[0],
                0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3));
            let prefixed: Vec<u8> = prefixes.into_iter().chain(opcode.iter().copied()).collect();
            prop_assert_eq!(changes_translation(&prefixed), changes_translation(&opcode));
        }
    }
}
