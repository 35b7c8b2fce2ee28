// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers of an instance and what they hold, in words.

use chmu_spec::chmu::INSTANCE_TABLE;
use chmu_spec::register::{Field, Register};

/// The register that begins `offset` bytes from the start of an instance.
fn register(offset: u64) -> Option<&'static Register> {
    INSTANCE_TABLE
        .iter()
        .find(|register| register.offset == offset)
}

/// The register that a byte of an instance belongs to, `offset` bytes from the instance's start: its name in
/// the register map and its place, such as `Status (0x60)`. Other places have their offset only.
pub fn name(offset: u64) -> String {
    let mut all = INSTANCE_TABLE.iter();
    match all.find(|register| (register.offset..register.end()).contains(&offset)) {
        Some(register) => format!("{} ({offset:#x})", register.name),
        None => format!("the place {offset:#x} of the instance"),
    }
}

/// What the register at `offset` says with a value: its fields that are not zero.
pub fn fields(offset: u64, value: u64) -> String {
    said(offset, value, |_, number| number != 0)
}

/// The fields in which a value of the register at `offset` differs from another one.
pub fn differing_fields(offset: u64, value: u64, other: u64) -> String {
    said(offset, value, |field, _| {
        (value ^ other) & field.mask() != 0
    })
}

/// The fields of a value that `is_meant` says; reserved bits are one field more.
fn said(offset: u64, value: u64, is_meant: impl Fn(&Field, u64) -> bool) -> String {
    let Some(register) = register(offset) else {
        return String::new();
    };
    let mut words = Vec::new();
    for field in register.fields {
        let number = (value & field.mask()) >> field.low;
        if is_meant(field, number) {
            words.push(field_in_words(field, number));
        }
    }
    let strange = value & register.reserved();
    if strange != 0 {
        words.push(format!("reserved bits {strange:#x}"));
    }
    words.join(", ")
}

/// A field and its value, with what the register map says of it where the value is a code.
fn field_in_words(field: &Field, number: u64) -> String {
    let Field { name, meaning, .. } = field;
    match meaning_of(meaning, number) {
        Some(meaning) => format!("{name} {number} ({meaning})"),
        None if number < 10 => format!("{name} {number}"),
        None => format!("{name} {number} ({number:#x})"),
    }
}

/// What a code means, by a list such as `0 none, 1 enable`.
fn meaning_of(meanings: &'static str, number: u64) -> Option<&'static str> {
    meanings.split(", ").find_map(|one| {
        let (code, meaning) = one.split_once(' ')?;
        let meaning = meaning.trim_start_matches("= ");
        (code.parse() == Ok(number) && !meaning.starts_with("to ")).then_some(meaning)
    })
}

#[cfg(test)]
mod tests {
    use chmu_spec::chmu::offset;

    use super::*;

    #[test]
    fn places_have_the_register_maps_names() {
        assert_eq!(name(offset::STATUS), "Status (0x60)");
        assert_eq!(name(offset::HOTLIST_TAIL), "Hotlist tail (0x6a)");
        assert_eq!(name(0x4c), "Configuration 1 (0x4c)");
        assert_eq!(name(0x1000), "the place 0x1000 of the instance");
    }

    #[test]
    fn values_are_said_by_their_fields() {
        let status = 1 << 40 | 2 << 16 | 1 | 1 << 50;
        assert_eq!(
            fields(offset::STATUS, status),
            "enabled 1, operation in progress 2 (disable), overflow 1, reserved bits 0x4000000000000"
        );
        assert_eq!(fields(0x1000, 1), "");
        assert_eq!(
            differing_fields(offset::CONFIGURATION_1, 1 << 40 | 12, 12),
            "mode 1 (always-on)"
        );
        let epoch = 100 << 52 | 2 << 48;
        assert_eq!(
            fields(offset::CONFIGURATION_1, epoch),
            "epoch scale 2, epoch multiplier 100 (0x64)"
        );
    }
}
